"""The manager of MySQL in a guest."""
from trove.guestagent.datastore.mysql_common import manager


class Manager(manager.MySqlManager):
    """MySQL; everything is as in the rest of its family."""

    def __init__(self, **kwargs):
        super().__init__("mysql", **kwargs)
