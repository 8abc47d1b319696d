"""The sqlalchemy-migrate repository of the infrastructure database; applied by ``trove.db.sqlalchemy.migration``."""
