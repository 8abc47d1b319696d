"""What errors of a Redis server mean for users."""
import redis

from trove.common import exception

# Beginning of the server's message -> sentence with the cause and the cure.
_MEANINGS = {
    "MISCONF": "The database server refuses writes, as it cannot save its data. Resize the volume or remove data.",
    "OOM": "The database server refuses writes, as its data have reached maxmemory. Remove data, set another "
           "maxmemory-policy, or resize to a larger flavor.",
    "LOADING": "The database server is loading its data. Try again when it has ended.",
    "BUSY": "The database server runs a script of a user that does not end. Restart the instance.",
    "READONLY": "The database server is a replica and takes no writes.",
}


def is_full(error):
    """Return whether the server has refused a connection as it has maxclients of them."""
    return "max number of clients reached" in str(error)


def explain(error):
    """Return the error to raise to users in the place of one of the driver, or None to raise that itself."""
    if isinstance(error, redis.exceptions.RedisError) and is_full(error):
        return exception.GuestUnavailable("All connections that maxclients allows are in use. Close some, or set "
                                          "maxclients higher.")
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return exception.GuestUnavailable(_MEANINGS["LOADING"])
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return exception.GuestUnavailable(_MEANINGS["OOM"])
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return exception.GuestUnavailable(_MEANINGS["READONLY"])
    if isinstance(error, redis.exceptions.ResponseError):
        sentence = _MEANINGS.get(str(error).partition(" ")[0])
        return exception.GuestUnavailable(sentence) if sentence else None
    if isinstance(error, redis.exceptions.ConnectionError):
        return exception.GuestUnavailable("The database server does not answer. Look at its status.")
    return None
