"""The SQLAlchemy implementation of the database layer."""
