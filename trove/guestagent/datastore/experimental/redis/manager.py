"""The manager of Redis in a guest."""
from trove.guestagent.datastore import manager
from trove.guestagent.datastore.experimental.redis import service


class RedisManager(manager.Manager):
    """A server of the family of Redis. It has no databases and no users; root is the server's password."""

    server_class = service.RedisApp
    root_class = service.RedisRoot


class Manager(RedisManager):
    """Redis."""

    def __init__(self, **kwargs):
        super().__init__("redis", **kwargs)
