"""Servers of the MySQL family: their files, and how a test looks into them."""
import os
from contextlib import contextmanager

import pytest

from tests import guests
from tests.engines import base
from trove.guestagent.datastore.mysql_common import service


class Engine(base.Engine):
    """Base of MariaDB and MySQL."""

    dynamic, static = ("max_connections", 77, "77"), ("performance_schema", None, None)
    unknown = ("no_such_option", 1)

    @contextmanager
    def found_in(self, *directories):
        """Let the agent's code and what it starts find programs there first."""
        path = ":".join(map(str, directories))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service, "PROGRAMS", path)
            patch.setenv("PATH", f"{path}:{os.environ['PATH']}")
            yield

    def layout(self, root):
        """See the base."""
        layout = service.Layout(
            mount_point=root / "mysql", config_file=root / "etc/my.cnf", overrides=root / "etc/conf.d",
            run_dir=root / "run", template=root / "template", log_file=root / "log/error.log",
            own_port=guests.free_port())
        for directory in (layout.log_file.parent, layout.config_file.parent, layout.overrides):
            directory.mkdir()
        return layout

    def places(self, guest, text):
        """Return the rendered configuration file with the paths of a guest."""
        layout = guest.layout
        for path, here in (("/run/mysqld", layout.run_dir), ("/var/lib/mysql/data", layout.data),
                           ("/etc/mysql/conf.d", layout.overrides)):
            text = text.replace(path, str(here))
        return text

    def contents(self, guest, text):
        """See the base."""
        return self.places(guest, text).replace("port = 3306", f"port = {guest.port}").replace(
            "bind_address = 0.0.0.0", "bind_address = 127.0.0.1\ninnodb_flush_method = nosync\n"
                                       # A server that starts deletes the files of its neighbours in the same directory.
                                       f"tmpdir = {guest.layout.run_dir}")

    def shown(self, app, name):
        """See the base."""
        with app.session() as session:
            return session.execute("SHOW GLOBAL VARIABLES LIKE %s", (name,))[0][1]

    def leftovers(self, guest):
        """See the base."""
        return [path for pattern in ("backup.*", "data/xtrabackup_*", "data/mariadb_backup_*")
                for path in guest.layout.mount_point.glob(pattern)]

    def known(self, app):
        """See the base."""
        with app.session() as session:
            names = {row[0] for row in session.execute("SHOW GLOBAL VARIABLES")}
            # Options of files that a running server has under another name.
            return names | {option for option in ("default_time_zone", "transaction_isolation")
                            if session.dialect.variable(option) in names}

    def make_template(self, guest, directory):
        """See the base: with time zones, as in images."""
        app = guest.manager().app
        app.write_configuration(guest.contents(), {})
        app.prepare_data()
        app.start()
        app.complete(user="root")
        app.stop()
        guests.copy_data(app, directory)
