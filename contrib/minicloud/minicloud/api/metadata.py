"""The metadata of servers and of volumes: Nova and Cinder answer the same requests alike, but for one code."""

from minicloud.api import schema
from minicloud.api.web import Fault


class Metadata:
    """Handlers of ``<resource>/metadata`` and ``<resource>/metadata/<key>``."""

    def __init__(self, store, get, change, removed):
        """
        :param get: get(request, id) returns the record or raises its 404.
        :param change: change(id, metadata=...) stores.
        :param removed: the code that answers the removal of an item.
        """
        self.store, self.get, self.change, self.removed = store, get, change, removed

    def table(self, path):
        """The routes below the resource's path."""
        return [
            ("GET", f"{path}/metadata", self.show),
            ("POST PUT", f"{path}/metadata", self.update),
            ("GET", f"{path}/metadata/<key>", self.show_item),
            ("PUT", f"{path}/metadata/<key>", self.update_item),
            ("DELETE", f"{path}/metadata/<key>", self.remove_item),
        ]

    def show(self, request, id):
        """All metadata."""
        return {"metadata": self.get(request, id)["metadata"]}

    def update(self, request, id):
        """POST adds, PUT replaces."""
        new = schema.body_of(request, "metadata", schema.METADATA)
        with self.store.transaction():
            old = self.get(request, id)["metadata"]
            result = {**old, **new} if request.method == "POST" else new
            self.change(id, metadata=result)
        return {"metadata": result}

    def show_item(self, request, id, key):
        """One item."""
        metadata = self.get(request, id)["metadata"]
        if key not in metadata:
            raise Fault(404, f"There is no metadata item with the key {key}.")
        return {"meta": {key: metadata[key]}}

    def update_item(self, request, id, key):
        """Set one item."""
        item = schema.body_of(request, "meta", schema.METADATA)
        if list(item) != [key]:
            raise Fault(400, "Request body and URI mismatch")
        with self.store.transaction():
            self.change(id, metadata={**self.get(request, id)["metadata"], **item})
        return {"meta": item}

    def remove_item(self, request, id, key):
        """Delete one item."""
        with self.store.transaction():
            self.show_item(request, id, key)
            metadata = self.get(request, id)["metadata"]
            del metadata[key]
            self.change(id, metadata=metadata)
        return self.removed, None
