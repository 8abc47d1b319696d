"""An engine's name stands in its own files and nowhere else, so that a datastore comes as files of its own.

Its own are the files whose path has its name, or that of an engine of the same family: engines with the same rules for
names. ELSEWHERE may only become shorter: a file that no longer names an engine must leave it.
"""
import re
from pathlib import Path

import trove
from trove.common import cfg
from trove.conf import datastores
from trove.conf.services import SERVICE_IDS

PACKAGE = Path(trove.__file__).parent
# Those that have a card here, and those that the documents know. A package may have the name of something else that
# Trove uses; the example stands for all packages. What a name begins with also finds its other forms.
ENGINES = {name.removesuffix("ql") for name in {*datastores.PACKAGED, *SERVICE_IDS, "valkey"} - {"mysql"}} | {"mysql"}
WORDS = re.compile("|".join(sorted(ENGINES)), re.IGNORECASE)
# The infrastructure database, which is MariaDB, PostgreSQL or SQLite.
OWN_DATABASE = ("db/", "conf/database.py")
# File -> why it names an engine.
ELSEWHERE = {
    "common/extensions.py": "the extension's name, as clients see it",
    "conf/services.py": "the default of notification_service_id, which the documents have for all engines",
}


def named(text):
    return {word.lower() for word in WORDS.findall(text)}


def families():
    """{engine: its family}. An engine without a card, or whose card has rules of its own, is a family alone."""
    rules = {}
    for name, card in cfg.CARDS.items():
        rules.setdefault(card.TRAITS.models, set()).update(named(name))
    shared = [found for path, found in rules.items() if "guestagent.db.base" not in path]
    return {engine: next((family for family in shared if engine in family), {engine}) for engine in ENGINES}


def test_engines_are_named_in_their_own_files_only():
    known = families()
    assert known["mariadb"] == known["mysql"] == {"mysql", "mariadb", "percona"}
    found = {}
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(PACKAGE).as_posix()
        if path.is_dir() or path.suffix == ".pyc" or name.startswith(OWN_DATABASE):
            continue
        own = set().union(*(known[engine] for engine in named(name)))
        if strange := named(path.read_text("utf-8")) - own:
            found[name] = strange
    assert set(found) == set(ELSEWHERE), found
