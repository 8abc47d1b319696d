"""What the managers of the MySQL family have in common: the recipe of prepare, and who does what."""
from pathlib import Path

from trove.common import exception
from trove.common.cfg import CONF
from trove.conductor import api as conductor_api
from trove.guestagent import logs, pkg, secrets
from trove.guestagent.backup.backupagent import BackupAgent
from trove.guestagent.datastore import manager, replication
from trove.guestagent.datastore.mysql_common.admin import MySqlAdmin
from trove.guestagent.datastore.mysql_common.logs import MySqlLogs
from trove.guestagent.datastore.mysql_common.service import Layout, MySqlApp


class MySqlManager(manager.Manager):
    """Base of mysql, percona and mariadb. layout: where things are; tests give another."""

    def __init__(self, manager_name, layout=None):
        super().__init__(manager_name)
        self._app = MySqlApp(layout or Layout(Path(CONF[self.manager].mount_point)))
        self._admin = MySqlAdmin(self._app.session, self.manager)
        self._logs = logs.LogKeeper(MySqlLogs(self._app, self.manager))
        self._backups = BackupAgent(self.manager, self._app)
        self._replication = replication.load(self.manager, self._app)

    @property
    def app(self):
        """The server (MySqlApp)."""
        return self._app

    @property
    def admin(self):
        """Databases, users, root (MySqlAdmin)."""
        return self._admin

    @property
    def backups(self):
        """Who takes and restores backups (BackupAgent)."""
        return self._backups

    @property
    def replication(self):
        """Sources and replicas (Replication)."""
        return self._replication

    @property
    def status(self):
        """The server's status (MySqlStatus)."""
        return self._app.status

    @property
    def configuration_manager(self):
        """The server's option files."""
        return self._app.configuration

    def look_after_server(self, facts):
        """Keep the accounts of the agent and of replicas."""
        self.app.access.keep(self._idle, may_write=not facts["volume_full"])
        facts.update(self.app.facts())

    def do_prepare(self, context, request):
        """The recipe. Every line may be repeated after a death anywhere."""
        if request.cluster_config:
            raise exception.DatastoreOperationNotSupported(operation="prepare with cluster_config",
                                                           datastore=self.manager)
        snapshot, info = request.snapshot, request.backup_info
        pkg.install(request.packages)
        app = self.app
        app.service.leave_to_agent()
        app.stop()
        if request.device_path:
            app.prepare_volume(request.device_path)
        # With the data of a server that knows no named time zones it would not start.
        held = info and "default_time_zone" in request.overrides
        app.write_configuration(request.config_contents, {
            name: value for name, value in request.overrides.items() if not held or name != "default_time_zone"})
        certificate = secrets.first_server_certificate()
        if certificate:
            app.write_certificate(certificate)
        if snapshot:
            self._call(self.replication, "configure", snapshot["config"])
            if self.backups.needs_server(info):
                raise exception.TroveError("A replica cannot be made from a dump, which does not tell where to go on: "
                                           f"set [{self.manager}] backup_strategy to one that copies files.")
        elif info and self.replication:
            self.replication.hold_still(True)
        if info is None or self.backups.needs_server(info):
            app.prepare_data()
        else:
            app.prepare_data(lambda directory: self.backups.restore(info, directory))
        app.start()
        app.secure(keep_root=bool(info))
        if info and self.backups.needs_server(info):
            self.backups.restore(info)
            # The dump has brought the administrator of the server that was backed up.
            app.secure(keep_root=True)
        app.complete()
        if held:
            app.update_overrides(request.overrides)
            app.restart()
        if snapshot:
            self.replication.attach_replica(snapshot, snapshot["config"])
        elif info and self.replication:
            self.replication.detach_replica(for_failover=True)
            self.replication.hold_still(False)

    def post_prepare(self, context, request):
        """Report the root that came with a backup."""
        if request.backup_info and self.admin.is_root_enabled():
            conductor_api.API(context).report_root(CONF.guest_id, context.user_id)
