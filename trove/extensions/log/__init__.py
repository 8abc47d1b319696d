"""The logs of an instance, as far as its user may see them."""
