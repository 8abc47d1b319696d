"""The general log of a PostgreSQL server: all of its messages and statements, while users have switched it on.

The server has one log. Its file changes with the switch, so that what is published was written while the log was on.
"""
from trove.common.cfg import CONF
from trove.guestagent import logs
from trove.guestagent.common import configuration
from trove.guestagent.datastore.experimental.postgresql import sql

GENERAL = "general"


class PostgreSqlLogs(logs.ServerLogs):
    """app: PostgreSqlApp; manager: name of the datastore manager."""

    def __init__(self, app, manager):
        self._app = app
        self._manager = manager

    def guest_logs(self):
        """See the base."""
        path = self._app.layout.log_file.with_name(f"{GENERAL}.log")
        return [logs.GuestLog(GENERAL, logs.USER, path, self._app.layout.user)]

    def is_logging(self, name):
        """See the base."""
        try:
            with self._app.session(timeout=CONF.agent_call_low_timeout) as session:
                return session.execute("SELECT current_setting('log_filename') = $1", [f"{name}.log"])[0][0]
        except (sql.Error, OSError):
            return False

    def set_logging(self, name, on):
        """See the base. With guest_log_long_query_time only statements that take as long are logged, 0: all.

        A value of the user's group for log_statement or log_min_duration_statement does not count meanwhile.
        """
        longest = CONF[self._manager].guest_log_long_query_time
        which = {"log_min_duration_statement": longest} if longest else {"log_statement": "all"}
        self._app.configuration.apply_override({"log_filename": f"{name}.log", **which} if on else {},
                                               configuration.SYSTEM_GROUP, f"log-{name}")
        self._app.reload()
