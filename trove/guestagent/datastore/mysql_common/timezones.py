"""The server's tables of named time zones, which CONVERT_TZ and SET time_zone need and which a new server has empty."""
import re
import shutil
from pathlib import Path

from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import dialect

LOG = logging.getLogger(__name__)

# The engines' own programs turn these files into SQL. "posix" has each zone once, where the system has that directory.
_ZONES = (Path("/usr/share/zoneinfo/posix"), Path("/usr/share/zoneinfo"))
_PROGRAMS = {dialect.MARIADB: "mariadb-tzinfo-to-sql", dialect.MYSQL: "mysql_tzinfo_to_sql"}
# Is there while the tables are being filled: one engine's cannot be filled in one transaction.
_MARKER = "timezones.loading"


def load(app, programs, **kwargs):
    """Fill the tables if they are empty; they are each server's own and not written to its log for replicas.

    app: the server (MySqlApp); programs: directories where the engine's are, as in PATH; kwargs: of ``app.session``.
    Does nothing but log when the image lacks the program or the zones. Raises pymysql.err.MySQLError, ProcessError.
    """
    marker = operating_system.state_dir() / _MARKER
    with app.own_session(**kwargs) as session:
        if session.execute("SELECT 1 FROM mysql.time_zone_name LIMIT 1") and not marker.exists():
            return
        program = shutil.which(_PROGRAMS[session.dialect.engine], path=programs)
        zones = next((directory for directory in _ZONES if directory.is_dir()), None)
        if program is None or zones is None:
            LOG.warning("%s: the server knows no named time zones: the image needs %s and %s", CONF.guest_id,
                        _PROGRAMS[session.dialect.engine], _ZONES[-1])
            return
        text = operating_system.run([program, str(zones)])
        marker.touch()
        with session.opened():
            session.execute("USE mysql")
            for statement in _statements(text):
                session.cursor.execute(statement)
    marker.unlink()
    LOG.info("%s: the server's tables of time zones were empty and have been filled from %s", CONF.guest_id, zones)


def _statements(text):
    """The statements of such a program's output; none of its values has a semicolon at the end of a line."""
    return [statement for statement in (part.strip() for part in re.split(r";\s*\n", text + "\n")) if statement]
