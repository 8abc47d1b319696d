"""Everything a task manager needs, in this process: minicloud, a broker's management API, guests; and one instance."""
import dataclasses
import datetime
import time

import pytest

from tests import rabbitmq
from tests.fakes import broker as fake_broker
from tests.fakes import cloud as fake_cloud
from tests.fakes.agent import GUESTS
from tests.waiting import wait_until
from trove import rpc
from trove.backup import actions as backup_actions
from trove.backup import models as backup_models
from trove.common import cached, remote
from trove.common.instance import ServiceStatuses
from trove.conductor import models as conductor_models
from trove.configuration import actions as configuration
from trove.configuration import models as configuration_models
from trove.datastore.models import DBDatastore, DBDatastoreConfigurationParameter, DBDatastoreVersion
from trove.db import models as db_models
from trove.flavor import models as flavor_models
from trove.instance import actions, administration, create, models, replicas, resize
from trove.instance.tasks import InstanceTasks
from trove.network import models as network_models
from trove.operation import models as operations
from trove.quota import quota
from trove.taskmanager import flow, flows, reconcile, revival
from trove.taskmanager.steps import network as network_steps

# World.counts of nothing at all, and of one instance that was built.
NOTHING = {"servers": 0, "volumes": 0, "ports": 0, "groups": 0, "guests": 0, "accounts": 0, "group rows": 0}
ONE = dict.fromkeys(NOTHING, 1)
# Names of parameters that the version has, beside those of the groups.
PARAMETERS = ("max_connections", "wait_timeout")


def configure_bus(conf, url, user, password, address):
    """Point the options of guests' accounts at a broker."""
    for name, value in (("management_url", url), ("management_user", user), ("management_password", password),
                        ("address", address)):
        conf.set_override(name, value, group="guest_bus")


def use_broker(conf, broker):
    """Point all options at a real broker."""
    rpc.cleanup()
    configure_bus(conf, broker.management_url, rabbitmq.ADMIN, rabbitmq.PASSWORD, broker.address)
    conf.set_override("transport_url", broker.transport_url)


@pytest.fixture
def world(db, conf, context, running_cloud, tmp_path):
    """A World whose cloud, broker and guests are empty."""
    broker = fake_broker.Broker()
    running_cloud.configure(conf)
    GUESTS.reset()
    cached.forget()
    conf.set_override("remote_guest_client", "tests.fakes.agent.guest_client")
    conf.set_override("transport_url", "fake://")
    conf.set_override("backup_encryption_key", ["a key for tests, never for a deployment"])
    conf.set_override("guest_config", str(tmp_path / "absent"))
    (tmp_path / "mysql").mkdir()
    (tmp_path / "mysql" / "config.template").write_text("buffer_pool = {{ flavor.ram }}\n")
    conf.set_override("template_path", str(tmp_path))
    conf.set_override("usage_sleep_time", 0.1)
    configure_bus(conf, broker.url, fake_broker.USER, fake_broker.PASSWORD, "10.77.0.1:5672")
    world = World(db, context, running_cloud, broker, conf)
    world.archive(None)
    yield world
    broker.stop()
    rpc.cleanup()
    running_cloud.clear()
    running_cloud.clear_objects()
    remote.reset()


@dataclasses.dataclass
class World:
    """What a test sees and does from outside: requests as the API makes them, and what there is afterwards."""

    db: object
    context: object
    cloud: fake_cloud.Cloud
    broker: fake_broker.Broker
    conf: object
    # Operations that other task managers work on while one is run.
    companions: list = dataclasses.field(default_factory=list)

    def create(self, **changes):
        """Rows and operation of a new instance, as the API writes them. Returns (instance id, operation id)."""
        with self.db.writer() as session:
            version = self._version(session)
            instance = models.DBInstance(
                id=db_models.new_id(), name="m1", tenant_id=self.context.project_id, flavor_id="1", volume_size=1,
                datastore_version_id=version.id)
            instance.task = InstanceTasks.BUILDING
            status = models.InstanceServiceStatus(instance_id=instance.id)
            status.status = ServiceStatuses.NEW
            session.add_all([instance, status])
            arguments = {
                "name": "m1", "flavor": {"id": "1", "name": "m1.tiny", "ram": 512, "vcpus": 1, "disk": 10,
                                         "ephemeral": 0},
                "image_id": self.cloud.image_id,
                "datastore": {"name": "mysql", "manager": "mysql", "version": "5.7", "version_id": version.id,
                              "packages": []},
                "volume_size": 1, "volume_type": None, "availability_zone": None, "nics": [],
                "databases": [{"_name": "db1", "_character_set": None, "_collate": None}], "overrides": {},
                "configuration_id": None, "root": True, **changes}
            operation = operations.begin(
                session, "instance.create", "instance", instance.id, self.context, arguments,
                {"users": [{"_name": "u1", "_host": "%", "_password": "p1", "_databases": []}],
                 "root_password": "r00t"})
            return instance.id, operation.id

    def archive(self, strategy="Any"):
        """Let the logs of instances be archived from their next backups on, or not (None)."""
        self.conf.set_override("archive_strategy", strategy, group="mysql")

    def report(self, instance_id):
        """The guest gives a sign of life."""
        with self.db.writer() as session:
            conductor_models.record_sign_of_life(session, instance_id)

    def replicate(self, source_id, count=1):
        """What the API writes when replicas are wanted. Returns (ids of the replicas, of their operations, of the
        snapshot's).
        """
        self.report(source_id)
        with self.db.writer() as session:
            self._version(session).image_id = self.cloud.image_id
        spec, datastore, version, _, flavor = create._check(
            self.context, None, create.Spec("r1", "1", source_id=source_id, replica_count=count))
        begun, _ = create._insert(self.context, spec, datastore, version, flavor, None)
        snapshot, *others = begun
        return [each.resource_id for each in others], [each.id for each in others], snapshot.id

    def replicated(self, count=2):
        """A source and its replicas, all ACTIVE: (id of the source, ids of the replicas)."""
        source_id = self.built()
        ids, self.companions, snapshot = self.replicate(source_id, count)
        self.run(snapshot)
        self.companions = []
        for instance_id in ids:
            self.report(instance_id)
            assert self.instance(instance_id).task is InstanceTasks.NONE
        return source_id, ids

    def promote(self, instance_id):
        """What the API writes when a replica is promoted. Returns the operation id."""
        return replicas._begin_promote(self.context, instance_id, self.instance(instance_id).slave_of_id)

    def eject(self, instance_id):
        """What the API writes when a source, which is silent, is ejected. Returns the operation id."""
        with self.db.writer() as session:
            long_ago = db_models.utcnow() - datetime.timedelta(hours=1)
            models.service_status(session, instance_id).updated_at = long_ago
            session.query(models.AgentHeartBeat).filter_by(instance_id=instance_id).update({"updated_at": long_ago})
        return replicas._begin_eject(self.context, instance_id)

    def detach(self, instance_id):
        """What the API writes when a replica is detached. Returns the operation id."""
        return actions._update(self.context, instance_id, {"replica_of": None, "name": "own"}, None)[1]

    def delete(self, instance_id):
        """What the API writes when an instance is deleted. Returns the operation id."""
        with self.db.writer() as session:
            operation = operations.begin(session, "instance.delete", "instance", instance_id, self.context,
                                         lock=f"instance:{instance_id}:delete")
            operations.request_cancel(session, "instance", instance_id, keep=operation.id)
            models.DBInstance.get(session, instance_id).task = InstanceTasks.DELETING
            return operation.id

    def delete_all(self):
        """Delete what instances there are, the replicas first, and end what else is under way."""
        while True:
            with self.db.reader() as session:
                rows = session.execute(models.DBInstance.live()).scalars().all()
            if not rows:
                break
            row = min(rows, key=lambda row: row.slave_of_id is None)
            self.run(self.delete(row.id))
            assert self.instance(row.id).deleted
        for companion in self.companions:
            self.run(companion, "heir")
        self.companions = []

    def restart(self, instance_id):
        """What the API writes when an instance is restarted. Returns the operation id."""
        return actions._begin_rebooting(self.context, instance_id, "restart")

    def reboot(self, instance_id):
        """What the API writes when the server of an instance is rebooted. Returns the operation id."""
        return actions._begin_rebooting(self.context, instance_id, "reboot")

    def stop(self, instance_id):
        """What the API writes when the database of an instance is stopped. Returns the operation id."""
        with self.db.writer() as session:
            return operations.begin(session, "instance.stop", "instance", instance_id, self.context).id

    def allow(self, instance_id, *cidrs):
        """What the API writes when other networks may connect to an instance. Returns the operation id."""
        with self.db.writer() as session:
            return operations.begin(session, actions.KIND_ACCESS, "instance", instance_id, self.context,
                                    {"manager": "mysql", "allowed_cidrs": list(cidrs)}).id

    def change(self, instance_id, kind, arguments):
        """What the API writes when databases or users are to be changed. Returns the operation id."""
        return administration._begin(self.context, instance_id, kind, arguments, {})

    def cidrs(self, instance_id):
        """Who may connect to an instance: (as its row says, as the rules of its group in the cloud say)."""
        [group] = remote.neutron_client().list_security_groups(
            name=network_steps.group_name(instance_id))["security_groups"]
        rules = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
        return self.instance(instance_id).cidr_list, sorted(rule["remote_ip_prefix"] or "0.0.0.0/0" for rule in rules)

    def crash(self, instance_id):
        """The guest of an instance dies, and that is seen."""
        self.cloud.server.host.crash(self.instance(instance_id).compute_instance_id)

        def seen():
            reconcile.look_at_servers()
            return self.instance(instance_id).server_status == "SHUTOFF"
        wait_until(seen, pause=0)

    @staticmethod
    def revive():
        """Begin to start servers that are off and should not be. Returns the operations' ids."""
        woken = []
        revival.start_servers(woken.append)
        return woken

    def resize_flavor(self, instance_id, flavor_id):
        """What the API writes when an instance is to have another flavor. Returns the operation id."""
        old = flavor_models.get_flavor(self.instance(instance_id).flavor_id)
        return resize._begin_flavor(self.context, instance_id, old, flavor_models.get_flavor(flavor_id))

    def migrate(self, instance_id):
        """What the API writes when an instance is to go to another host. Returns the operation id."""
        return resize._begin_migration(self.context, instance_id, None)

    def resize_volume(self, instance_id, size):
        """What the API writes when the volume of an instance is to grow. Returns the operation id."""
        return resize._begin_volume(self.context, instance_id, size)

    def server(self, instance_id):
        """Nova's view of the server of an instance."""
        return remote.nova_client().servers.get(self.instance(instance_id).compute_instance_id)

    def volume(self, instance_id):
        """Cinder's view of the volume of an instance."""
        return remote.cinder_client().volumes.get(self.instance(instance_id).volume_id)

    def backup(self, instance_id, **more):
        """What the API writes when a backup is wanted. Returns (backup id, operation id)."""
        return backup_actions._insert(self.context, backup_actions.Request(instance_id, "b1", **more))

    def delete_backup(self, backup_id):
        """What the API writes when a backup is deleted. Returns the operation id."""
        return backup_actions._begin_delete(self.context, backup_id)

    def backup_rows(self):
        """All backups, deleted or not, oldest first."""
        with self.db.reader() as session:
            return session.query(backup_models.DBBackup).order_by(backup_models.DBBackup.created).all()

    def objects(self):
        """The names of all objects of backups, and of containers without any."""
        client, names = remote.swift_client(), []
        for container in client.get_account()[1]:
            found = client.get_container(container["name"])[1]
            names += [entry["name"] for entry in found] or [container["name"]]
        return names

    def attach(self, instance_id, values, restart_required=()):
        """Rows of a configuration group with these values, attached to an instance."""
        with self.db.writer() as session:
            version_id = models.DBInstance.get(session, instance_id).datastore_version_id
            known = {name for name, _ in configuration_models.load_rules(session, version_id).items()}
            for name in {*PARAMETERS, *values} - known:
                session.add(DBDatastoreConfigurationParameter(
                    datastore_version_id=version_id, name=name, data_type="integer",
                    restart_required=name in restart_required))
            group = configuration_models.DBConfiguration(
                id=db_models.new_id(), name="c1", tenant_id=self.context.project_id, datastore_version_id=version_id)
            session.add(group)
            session.flush()
            configuration_models.save_values(session, group.id, values)
            models.DBInstance.get(session, instance_id).configuration_id = group.id

    def configure(self, instance_id, removed=()):
        """What the API writes when the group of an instance has changed. Returns the operation id."""
        with self.db.writer() as session:
            instance = models.DBInstance.get(session, instance_id)
            rules = configuration_models.load_rules(session, instance.datastore_version_id)
            values = configuration_models.load_values(session, instance.configuration_id, rules)
            return configuration.begin(session, self.context, instance, values, list(removed), rules)

    def run(self, operation_id, owner="runner", all_flows=None, looks=400):
        """Claim an operation whose holder, if any, is dead and carry it on to its end, waiting as it says."""
        self.end_lease(operation_id)
        with self.db.writer() as session:
            if operations.claim(session, operation_id, owner, 60) is None:
                return
        for _ in range(looks):
            if self.advance(operation_id, owner, all_flows) is None:
                return
        raise AssertionError(f"the operation has not ended: {self.operation(operation_id).step}")

    def advance(self, operation_id, owner="runner", all_flows=None):
        """Carry on once; like the runner, wait as long as it says."""
        outcome = flow.advance(all_flows or flows.FLOWS, operation_id, owner)
        if outcome is not None and GUESTS.boots:
            self._report_after_boot()
        if outcome is not None:
            for companion in set(self.companions) - {operation_id}:
                self._accompany(companion)
            time.sleep(min(outcome.seconds, 0.05))
        return outcome

    def _accompany(self, operation_id):
        """Let another task manager carry on an operation for once."""
        self.end_lease(operation_id)
        with self.db.writer() as session:
            if operations.claim(session, operation_id, "companion", 60) is None:
                return
        flow.advance(flows.FLOWS, operation_id, "companion")

    def _report_after_boot(self):
        """The agents of guests that were rebooted report that their databases run."""
        with self.db.reader() as session:
            paused = session.execute(models.InstanceServiceStatus.live().where(
                models.InstanceServiceStatus.status_id == ServiceStatuses.PAUSED.code)).scalars().all()
        for row in paused:
            with self.db.writer() as session:
                models.set_service_status(session, row.instance_id, ServiceStatuses.RUNNING)

    def end_lease(self, operation_id):
        """Let the time pass after which a dead holder's operation may be taken."""
        with self.db.writer() as session:
            operation = session.get(operations.Operation, operation_id)
            if operation.state in operations.LIVE_STATES:
                operation.lease_until = None

    def built(self):
        """An instance that is ACTIVE: its id."""
        instance_id, operation_id = self.create()
        self.run(operation_id)
        assert self.operation(operation_id).state == operations.DONE, self.operation(operation_id).error
        return instance_id

    def operation(self, operation_id):
        """The row of an operation."""
        with self.db.reader() as session:
            return session.get(operations.Operation, operation_id)

    def instance(self, instance_id):
        """The row of an instance, deleted or not."""
        with self.db.reader() as session:
            return session.get(models.DBInstance, instance_id)

    def service_status(self, instance_id):
        """The service status of an instance."""
        with self.db.reader() as session:
            return models.service_status(session, instance_id).status

    def fault(self, instance_id):
        """The fault of an instance, or None."""
        with self.db.reader() as session:
            return models.newest_fault(session, instance_id)

    def check_quota(self):
        """What counts against the tenant's quota is exactly its live instances, but for those being deleted."""
        with self.db.reader() as session:
            usages = quota.usages(session, self.context.project_id)
            live = [row for row in session.execute(models.DBInstance.live()).scalars()
                    if row.task not in (InstanceTasks.DELETING, InstanceTasks.DELETING_ERROR)]
        assert (usages["instances"].in_use, usages["instances"].reserved) == (len(live), 0)
        assert (usages["volumes"].in_use, usages["volumes"].reserved) == (sum(row.volume_size for row in live), 0)

    def counts(self):
        """How many of each thing there are, in the cloud, at the broker and in our rows."""
        counts = {kind: len(found) for kind, found in self.cloud.leftovers().items()}
        # Of how many guests there is an account or a queue.
        # Each generation of a guest's secrets has one; queues whose account is gone count as well.
        accounts = [name.removeprefix("guest-") for name in self.broker.users]
        counts["accounts"] = len(accounts) + len({name.split(".")[1] for name in self.broker.queues}
                                                 - {name.split(".")[0] for name in accounts})
        with self.db.reader() as session:
            counts["group rows"] = len(session.execute(network_models.SecurityGroup.live()).all())
        return counts

    @staticmethod
    def _version(session):
        version = session.execute(DBDatastoreVersion.live()).scalars().first()
        if version is None:
            datastore = DBDatastore(name="mysql")
            session.add(datastore)
            session.flush()
            version = DBDatastoreVersion(datastore_id=datastore.id, name="5.7", manager="mysql", active=True,
                                         image_id="none", packages="")
            session.add(version)
            session.flush()
        return version
