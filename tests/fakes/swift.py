"""The little of Swift that the API asks for, for ``remote_swift_client``: whether a backup's manifest is there.

Everything else of Swift is tested with minicloud's.
"""
from swiftclient import exceptions

# Name of the manifest -> its ETag; None: the object store has a fault of its own.
ETAGS = {}


def swift_client():
    """The factory that the option names."""
    return Connection()


class Connection:
    """As swiftclient.Connection."""

    url = None

    def get_auth(self):
        return "http://127.0.0.1/v1/AUTH_service", "token"

    def head_account(self):
        return {}

    def get_account(self, **_):
        return {}, []

    def get_capabilities(self, _):
        return {"tempurl": {}}

    def close(self):
        pass

    def head_object(self, container, obj):
        if obj not in ETAGS:
            raise exceptions.ClientException("Object HEAD failed", http_status=404)
        if ETAGS[obj] is None:
            raise exceptions.ClientException("Object HEAD failed", http_status=503)
        return {"etag": f'"{ETAGS[obj]}"', "content-length": "1"}
