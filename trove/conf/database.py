"""[database] options: how the control plane reaches its infrastructure database."""
from oslo_config import cfg

opts = [
    cfg.StrOpt("connection", default="sqlite:///trove_test.sqlite", secret=True,
               help="SQLAlchemy URL: sqlite:///<file>, mysql+pymysql://... or postgresql+psycopg2://..."),
    cfg.IntOpt("idle_timeout", default=3600, help="Seconds after which a pooled connection is renewed."),
    cfg.BoolOpt("query_log", default=False, help="Whether every SQL statement is logged."),
    cfg.BoolOpt("sqlite_synchronous", default=True, help="Whether SQLite waits for the disk at commit."),
    cfg.StrOpt("mysql_sql_mode", default="TRADITIONAL", help="SQL mode of MySQL connections."),
    cfg.IntOpt("max_pool_size", help="Connections kept open per process; unset means SQLAlchemy's default."),
    cfg.IntOpt("max_overflow", help="Connections beyond the pool; unset means SQLAlchemy's default."),
    cfg.IntOpt("pool_timeout", help="Seconds to wait for a connection of the pool."),
    cfg.IntOpt("max_retries", default=10, help="Tries to connect at start; -1 means without end."),
    cfg.IntOpt("retry_interval", default=10, help="Seconds between these tries."),
    cfg.IntOpt("lock_timeout", default=30, help="Seconds to wait for a lock of another transaction."),
    cfg.IntOpt("migration_lock_timeout", default=600, min=1,
               help="Seconds that trove-manage waits for another process that changes the schema."),
]


def register_opts(conf):
    """Register this area's options on ``conf``."""
    conf.register_opts(opts, group="database")
