"""An engine's name stands in files with its name and nowhere else, so that a datastore comes as files of its own.

ELSEWHERE may only become shorter: a file that no longer names an engine must leave it.
"""
import re
from pathlib import Path

import trove

PACKAGE = Path(trove.__file__).parent
ENGINES = re.compile("mysql|mariadb|percona|postgres|redis|mongodb|cassandra|couchbase|couchdb|vertica|db2|valkey",
                     re.IGNORECASE)
# The infrastructure database, which is MariaDB, PostgreSQL or SQLite.
OWN_DATABASE = ("db/", "conf/database.py")
_LIMIT = "a comment about a limit or an index of the infrastructure database"
ELSEWHERE = {
    "backup/store.py": "the suffix of a backup's file, by the class that took it",
    "cmd/manage.py": "an example in a help text",
    "common/extensions.py": "the extension's name, as clients see it",
    "conductor/models.py": _LIMIT,
    "conf/services.py": "the default of notification_service_id, which the documents have for all engines",
    "instance/loading.py": _LIMIT,
    "instance/models.py": _LIMIT,
    "operation/models.py": _LIMIT,
    "quota/models.py": _LIMIT,
    "taskmanager/flow.py": _LIMIT,
}


def test_engines_are_named_in_their_own_files_only():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not ENGINES.search(name) and not name.startswith(OWN_DATABASE) and ENGINES.search(path.read_text("utf-8")):
            found.add(name)
    assert found == set(ELSEWHERE)
