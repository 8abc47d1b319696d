"""Data that an older MariaDB wrote: a restored backup of it is brought to the version of the server that has it now.

MariaDB starts with such data, but its own tables lack what newer versions keep in them. MySQL does this by itself.
"""
import re

from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import dialect

LOG = logging.getLogger(__name__)

# In the data directory: the version of the server that wrote the data, until the data were brought to this one's.
FILENAME = "trove.data.version"


def numbers(text):
    """Return the first two numbers of a version, (10, 11), or None when the text has none."""
    found = re.search(r"(\d+)\.(\d+)", text or "")
    return (int(found[1]), int(found[2])) if found else None


def carry_out(app, program):
    """Bring the system tables of restored data to the version of the running server, if they are of an older one.

    app: the Server; program: function that finds a program's path by its name. Raises ProcessError; then it is tried
    again by the next call.
    """
    path = app.layout.data / FILENAME
    wrote = numbers(operating_system.read_file(path))
    if wrote is None:
        return
    with app.session() as session:
        server = session.dialect
    if server.engine == dialect.MARIADB and wrote < server.version[:2]:
        LOG.info("%s: the system tables of MariaDB %d.%d are brought to %d.%d", CONF.guest_id, *wrote,
                 *server.version[:2])
        operating_system.run([program("mariadb-upgrade") or "mariadb-upgrade", f"--defaults-file={app.client_file}",
                              *app.way(), "--upgrade-system-tables", "--force"], timeout=CONF.state_change_wait_time)
    path.unlink()
