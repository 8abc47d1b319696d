"""The manager of Valkey in a guest: Redis with other names."""
from dataclasses import dataclass
from pathlib import Path

from trove.guestagent.datastore.experimental.redis import manager, service


@dataclass(frozen=True)
class Layout(service.Layout):
    """Where Debian puts the files of Valkey."""

    config_file: Path = Path("/etc/valkey/valkey.conf")
    run_dir: Path = Path("/run/valkey")
    log_file: Path = Path("/var/log/valkey/valkey-server.log")
    user: str = "valkey"
    accounts: Path = Path("/etc/valkey/users.acl")
    program: str = "valkey-server"
    check_program: str = "valkey-check-rdb"
    unit: str = "valkey-server.service"


class ValkeyApp(service.RedisApp):
    """The one server of this guest."""

    layout_class = Layout


class Manager(manager.RedisManager):
    """Valkey."""

    server_class = ValkeyApp

    def __init__(self, **kwargs):
        super().__init__("valkey", **kwargs)
