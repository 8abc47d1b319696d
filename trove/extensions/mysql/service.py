"""The root controller under the name that option files have for it; see ``extensions.common.service``."""
from trove.extensions.common.service import DefaultRootController as MySQLRootController

__all__ = ["MySQLRootController"]
