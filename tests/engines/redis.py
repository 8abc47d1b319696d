"""Redis of this machine's Debian."""
import contextlib
import shutil

from onebox import datastores

from tests.engines import base
from tests.guests import free_port


class Engine(base.Engine):
    """See the base. Other members of its family are subclasses."""

    dynamic, static, unknown = ("timeout", 77, "77"), ("databases", 32, "32"), ("no-such-setting", 1)

    @contextlib.contextmanager
    def programs(self):
        """See the base."""
        if not shutil.which("redis-server"):
            raise RuntimeError("redis-server is not installed; it is in Debian's package of that name")
        yield

    def layout(self, root):
        """See the base."""
        layout = self.manager_class.server_class.layout_class(
            mount_point=root / "data", config_file=root / "etc/server.conf", run_dir=root / "run",
            template=root / "template", log_file=root / "log/server.log", user="nobody",
            accounts=root / "etc/users.acl", tls_port=free_port())
        layout.config_file.parent.mkdir()
        return layout

    def contents(self, guest, text):
        """See the base."""
        return text.replace("port 6379", f"port {guest.port}").replace("bind * -::*", "bind 127.0.0.1")

    def shown(self, app, name):
        """See the base."""
        return app.client().config_get(name)[name]

    def known(self, app):
        """See the base."""
        return set(app.client().config_get("*"))

    def leftovers(self, guest):
        """See the base."""
        return [path for pattern in ("trove.*", "*.new") for path in guest.layout.data.glob(pattern)]


def engines():
    """Return the Engine of each version, the default first."""
    return [Engine(version) for version in datastores.versions("redis")]
