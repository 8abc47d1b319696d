"""PostgreSQL: the version of this machine's Debian, and others out of their guest images."""
import contextlib
import os
import shutil
import signal
from pathlib import Path

import pytest
from onebox import datastores

from tests import programs
from tests.engines import base
from tests.waiting import wait_until
from trove.guestagent.datastore.experimental.postgresql import service

_INSTALLED = "15"
_NAMES = ("postgres", "initdb", "pg_basebackup", "pg_combinebackup", "pg_controldata", "pg_dump", "pg_dumpall",
          "pg_resetwal", "pg_verifybackup", "pg_waldump", "psql")


class Engine(base.Engine):
    """See the base."""

    dynamic, static = ("work_mem", "8MB", "8MB"), ("max_connections", 77, "77")
    increments = "PgBaseBackupIncremental"

    @contextlib.contextmanager
    def programs(self):
        """See the base."""
        name = self.version.name
        if name == _INSTALLED:
            if not Path(f"/usr/lib/postgresql/{name}/bin/postgres").exists():
                raise RuntimeError(f"PostgreSQL {name} is not installed; it is in Debian's postgresql")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(service.PostgreSqlApp, "programs", Path(f"/usr/lib/postgresql/{name}/bin"))
                yield
            return
        found = {f"usr/lib/postgresql/{name}/bin/{each}": "" for each in _NAMES}
        with programs.of(self.version, found, (f"usr/lib/postgresql/{name}/lib", f"usr/share/postgresql/{name}",
                                               "usr/share/zoneinfo")) as root, pytest.MonkeyPatch.context() as patch:
            patch.setattr(service.PostgreSqlApp, "programs", root / f"usr/lib/postgresql/{name}/bin")
            yield

    def layout(self, root):
        """See the base."""
        layout = service.Layout(
            mount_point=root / "postgresql", config_file=root / "etc/postgresql.conf", overrides=root / "etc/conf.d",
            run_dir=root / "run", template=root / "template", log_file=root / "log/postgresql.log")
        layout.overrides.mkdir(parents=True)
        return layout

    def options_of(self, guest):
        """See the base."""
        return {"postgresql_port": guest.port}

    def contents(self, guest, text):
        """See the base."""
        for path, here in (("/run/postgresql", guest.layout.run_dir),
                           (str(service.Layout(Path("/")).overrides), guest.layout.overrides)):
            text = text.replace(path, str(here))
        return text.replace("listen_addresses = '*'", "listen_addresses = '127.0.0.1'") + "fsync = off\n"

    def shown(self, app, name):
        """See the base."""
        with app.session() as session:
            return session.execute("SELECT current_setting($1)", [name])[0][0]

    def known(self, app):
        """See the base."""
        with app.session() as session:
            return {row[0] for row in session.execute("SELECT name FROM pg_settings")}

    def kill(self, app):
        """See the base: its processes end with the first one, without tidying up."""
        if app.service.is_running():
            os.kill(int(app.service._pid_file.read_text()), signal.SIGQUIT)
            wait_until(lambda: not app.service.is_running(), pause=0.01)

    def make_template(self, guest, directory):
        """See the base."""
        guest.manager().app.initialise(guest.root / "made")
        shutil.copytree(guest.root / "made", directory)


def engines():
    """Return the Engine of each version, the default first."""
    return [Engine(version) for version in datastores.versions("postgresql")]
