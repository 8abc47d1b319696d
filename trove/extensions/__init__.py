"""Routes beside the core: databases, users, root, management; and those of plug-ins."""
