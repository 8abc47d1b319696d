"""The logs that a server of the MySQL family writes when it is told to: the general one and that of slow queries."""
import pymysql

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent import logs
from trove.guestagent.common import configuration, operating_system

# Name of a log -> the variable that turns it on; the one with its file has _file behind it.
_SWITCHES = {"general": "general_log", "slow_query": "slow_query_log"}
# What long_query_time is where nobody chose anything else, in seconds.
_DEFAULT_LONG = 10


class MySqlLogs(logs.ServerLogs):
    """app: MySqlApp; manager: name of the datastore manager."""

    def __init__(self, app, manager):
        self._app = app
        self._manager = manager

    def guest_logs(self):
        """The GuestLogs; their files stand beside the server's own log, in a directory that the system's root made."""
        directory = self._app.layout.log_file.parent
        return [logs.GuestLog(name, logs.USER, directory / f"{name}.log", self._app.layout.user) for name in _SWITCHES]

    def is_logging(self, name):
        """Whether the server writes a log; False also when it cannot be asked."""
        try:
            with self._app.session(timeout=CONF.agent_call_low_timeout) as session:
                return bool(session.execute(f"SELECT @@GLOBAL.{_SWITCHES[name]}")[0][0])
        except pymysql.err.MySQLError:
            return False

    def set_logging(self, name, on):
        """Turn a log on or off, for now and for the next start. Raises GuestError when the server does not take it."""
        switch, layer = _SWITCHES[name], f"log-{name}"
        path = next(log.path for log in self.guest_logs() if log.name == name)
        # Only the system's root can put something else in its place: it lies in a directory of root's.
        operating_system.make_directory(path.parent, self._app.layout.user)
        values = {"log_output": "FILE", f"{switch}_file": str(path), switch: True}
        if on and name == "slow_query" and self._long_query_time() == _DEFAULT_LONG:
            values["long_query_time"] = f"{CONF[self._manager].guest_log_long_query_time / 1000:.3f}"
        self._app.configuration.apply_override(values if on else {}, configuration.SYSTEM_GROUP, layer)
        # In this order: a log that is on has its file already.
        for part in ([{key: value} for key, value in values.items() if key != switch] if on else []) + [{switch: on}]:
            refused = self._app.apply_overrides(part)
            if refused:
                raise exception.GuestError(original="; ".join(f"{key}: {why}" for key, why in refused.items()))

    def _long_query_time(self):
        with self._app.session() as session:
            return session.execute("SELECT @@GLOBAL.long_query_time")[0][0]
