"""The flavor resource: Nova's flavors as users of databases see them."""
