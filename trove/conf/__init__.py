"""Declarations of every option, one module per area, registered by ``trove.common.cfg``. Nothing here reads a value."""
