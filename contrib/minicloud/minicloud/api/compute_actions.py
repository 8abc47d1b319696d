"""Nova: what one does to a server: actions, volume attachments, metadata, tags, interfaces, security groups."""

import functools

from minicloud.api import (
    compute_flavors,
    compute_misc,
    compute_schemas,
    compute_views,
    schema,
    security_groups,
    server_state,
    servers,
    volumes,
)
from minicloud.api.metadata import Metadata
from minicloud.api.web import Fault, page


class Actions:
    """The handlers."""

    def __init__(self, compute):
        self.compute, self.cloud, self.store = compute, compute.cloud, compute.store

    def table(self):
        """The routes below /servers/<id>."""
        server = "/servers/<id>"
        attachments, tags = f"{server}/os-volume_attachments", f"{server}/tags"
        metadata = Metadata(self.store, self.compute.get, functools.partial(servers.change, self.cloud), 204)
        return [
            ("POST", f"{server}/action", self.action),
            ("GET", f"{server}/ips", self.ips),
            ("GET", attachments, self.attachments),
            ("POST", attachments, self.attach),
            ("GET", f"{attachments}/<volume_id>", self.attachment),
            ("DELETE", f"{attachments}/<volume_id>", self.detach),
            ("GET", tags, self.tags),
            ("PUT", tags, self.set_tags),
            ("DELETE", tags, self.remove_tags),
            ("GET", f"{tags}/<tag>", self.tag),
            ("PUT", f"{tags}/<tag>", self.add_tag),
            ("DELETE", f"{tags}/<tag>", self.remove_tag),
            ("GET", f"{server}/os-interface", self.interfaces),
            ("GET", f"{server}/os-security-groups", self.security_groups),
            ("GET", f"{server}/os-instance-actions", self.history),
            *metadata.table(server),
        ]

    def action(self, request, id):
        """The one member of the body names the action; each answers 202 unless it says otherwise."""
        body = request.body
        record = self.compute.get(request, id)
        if len(body) != 1 or next(iter(body)) not in compute_schemas.ACTIONS:
            raise Fault(400, f"There is no such action: {', '.join(body) or 'none'}")
        ((name, arguments),) = body.items()
        if compute_schemas.ACTIONS[name]:
            schema.check({name: arguments}, schema.fields(**{name: compute_schemas.ACTIONS[name]}))
        handlers = {
            "reboot": self._reboot,
            "os-stop": self._stop,
            "os-start": self._start,
            "resize": self._resize,
            "confirmResize": self._confirm,
            "revertResize": self._revert,
            "migrate": self._migrate,
            "os-getConsoleOutput": self._console,
            "os-resetState": self._reset_state,
            "forceDelete": self._force_delete,
            "addSecurityGroup": self._add_group,
            "removeSecurityGroup": self._remove_group,
        }
        return handlers[name](request, record, arguments) or (202, None)

    def _begin(self, record, action, task, operation, **args):
        servers.begin(self.cloud, record["id"], action, task, operation, **args)

    def _reboot(self, request, record, arguments):
        hard = arguments["type"].upper() == "HARD"
        self._begin(
            record, "reboot", "reboot_started_hard" if hard else "reboot_started", "server.reboot", hard=hard
        )

    def _stop(self, request, record, arguments):
        self._begin(record, "os-stop", "powering-off", "server.stop")

    def _start(self, request, record, arguments):
        self._begin(record, "os-start", "powering-on", "server.start")

    def _resize(self, request, record, arguments):
        flavor = compute_flavors.find_flavor(self.cloud, request.context, str(arguments["flavorRef"]), 400)
        if flavor["id"] == record["flavor"]["id"]:
            raise Fault(400, "When resizing, instances must change flavor!")
        compute_misc.require_quota(self.cloud, record["project_id"], 0, flavor, instead_of=record["flavor"])
        self._change_flavor(record, "resize", flavor)

    def _migrate(self, request, record, arguments):
        """There is one host: a migration is a resize to the same flavor, to be confirmed like any other."""
        request.context.require_admin("os_compute_api:os-migrate-server:migrate")
        self._change_flavor(record, "migrate", record["flavor"])

    def _change_flavor(self, record, action, flavor):
        state = server_state.vm_state(record, self.cloud.guests.states().get(record["id"]))
        before = {"before_resize": {"flavor": record["flavor"], "vm_state": state}}
        self._begin(record, action, "resize_migrating", "server.resize", fields=before, flavor=flavor)

    def _confirm(self, request, record, arguments):
        self._begin(record, "confirmResize", "resize_confirming", "server.confirm")
        return 204, None

    def _revert(self, request, record, arguments):
        self._begin(record, "revertResize", "resize_reverting", "server.revert")

    def _console(self, request, record, arguments):
        length = arguments.get("length")
        return {
            "output": self.cloud.host.console(record["id"], max(0, int(length)) if length is not None else 0)
        }

    def _reset_state(self, request, record, arguments):
        request.context.require_admin("os_compute_api:os-admin-actions:reset_state")
        servers.change(self.cloud, record["id"], vm_state=arguments["state"], task_state=None)

    def _force_delete(self, request, record, arguments):
        servers.delete(self.cloud, record["id"])

    def _group(self, request, record, name):
        found = [
            g
            for g in self.store.list("security_group", project_id=record["project_id"])
            if name in (g["id"], g["name"])
        ]
        if not found:
            raise Fault(404, f"Security group {name} is not found for project {record['project_id']}")
        return found[0]

    def _set_groups(self, record, change):
        with self.cloud.jobs.transaction() as add:
            for port in servers.ports_of(self.cloud, record["id"]):
                groups = change(port["security_groups"])
                self.store.change("port", port["id"], security_groups=groups)
                security_groups.refresh_rules(self.cloud, add, set(groups) ^ set(port["security_groups"]))
            add("port.rules", record["id"])

    def _add_group(self, request, record, arguments):
        group = self._group(request, record, arguments["name"])
        self._set_groups(record, lambda old: [*[id for id in old if id != group["id"]], group["id"]])

    def _remove_group(self, request, record, arguments):
        group = self._group(request, record, arguments["name"])
        if not any(
            group["id"] in port["security_groups"] for port in servers.ports_of(self.cloud, record["id"])
        ):
            raise Fault(404, f"Security group {group['id']} not associated with the instance {record['id']}")
        self._set_groups(record, lambda old: [id for id in old if id != group["id"]])

    # Volumes

    def attachments(self, request, id):
        """All attachments, in the order of their devices."""
        self.compute.get(request, id)
        shown, _ = page(request, volumes.of_server(self.cloud, id))
        return {"volumeAttachments": [compute_views.attachment(volume, request.version) for volume in shown]}

    def attach(self, request, id):
        """200 at once; the volume becomes in-use when the guest has it."""
        body = schema.body_of(request, "volumeAttachment", compute_schemas.ATTACH)
        self.compute.get(request, id)
        volume = self.store.find("volume", body["volumeId"])
        if not volume or not request.context.owns(volume):
            raise Fault(404, f"Volume {body['volumeId']} could not be found.")
        guests = self.cloud.guests.states()
        with self.cloud.jobs.transaction() as add:
            servers.require(self.cloud, "attach", id, guests)
            volume = volumes.reserve(
                self.cloud,
                volume["id"],
                id,
                body.get("device"),
                schema.is_true(body.get("delete_on_termination", False)),
            )
            add("server.attach", id, volume_id=volume["id"])
        return {"volumeAttachment": compute_views.attachment(volume, request.version)}

    def _attached(self, request, id, volume_id):
        self.compute.get(request, id)
        for volume in volumes.of_server(self.cloud, id):
            if volume["id"] == volume_id:
                return volume
        raise Fault(404, f"Instance {id} is not attached to volume {volume_id}.")

    def attachment(self, request, id, volume_id):
        """One attachment."""
        return {
            "volumeAttachment": compute_views.attachment(
                self._attached(request, id, volume_id), request.version
            )
        }

    def detach(self, request, id, volume_id):
        """202; a volume that is mounted in the guest stays in-use."""
        self._attached(request, id, volume_id)
        guests = self.cloud.guests.states()
        with self.cloud.jobs.transaction() as add:
            servers.require(self.cloud, "detach", id, guests)
            volumes.move(self.cloud, volume_id, ("in-use",), "detaching")
            add("server.detach", id, volume_id=volume_id)
        return 202, None

    # Tags

    def _tags(self, request, id):
        if request.version < (2, 26):
            raise Fault(404, "The resource could not be found.")
        return self.compute.get(request, id)["tags"]

    def tags(self, request, id):
        """All tags."""
        return {"tags": self._tags(request, id)}

    def set_tags(self, request, id):
        """Replace all."""
        self._tags(request, id)
        schema.check(request.body, schema.fields(("tags",), tags=compute_schemas.TAGS))
        tags = sorted(set(request.body["tags"]))
        servers.change(self.cloud, id, tags=tags)
        return {"tags": tags}

    def remove_tags(self, request, id):
        """204."""
        self._tags(request, id)
        servers.change(self.cloud, id, tags=[])
        return 204, None

    def tag(self, request, id, tag):
        """204 when the server has it."""
        if tag not in self._tags(request, id):
            raise Fault(404, f"Server {id} has no tag '{tag}'")
        return 204, None

    def add_tag(self, request, id, tag):
        """201 new, 204 known."""
        schema.check({"tag": tag}, schema.fields(tag=compute_schemas.TAG))
        with self.store.transaction():
            tags = self._tags(request, id)
            servers.change(self.cloud, id, tags=sorted({*tags, tag}))
        return 204 if tag in tags else 201, None

    def remove_tag(self, request, id, tag):
        """204."""
        with self.store.transaction():
            self.tag(request, id, tag)
            servers.change(self.cloud, id, tags=[t for t in self._tags(request, id) if t != tag])
        return 204, None

    # Network

    def ips(self, request, id):
        """Addresses by network."""
        view = self.compute.views(request, [self.compute.get(request, id)])[0]
        return {
            "addresses": {
                name: [{"version": a["version"], "addr": a["addr"]} for a in found]
                for name, found in view["addresses"].items()
            }
        }

    def interfaces(self, request, id):
        """The ports of the server."""
        self.compute.get(request, id)
        return {
            "interfaceAttachments": [
                {
                    "port_id": port["id"],
                    "net_id": port["network_id"],
                    "mac_addr": port["mac_address"],
                    "port_state": "ACTIVE",
                    "fixed_ips": port["fixed_ips"],
                }
                for port in servers.ports_of(self.cloud, id)
            ]
        }

    def security_groups(self, request, id):
        """The groups of the server's ports, in Nova's old shape."""
        self.compute.get(request, id)
        ids = {group for port in servers.ports_of(self.cloud, id) for group in port["security_groups"]}
        return {
            "security_groups": [
                {
                    "id": g["id"],
                    "name": g["name"],
                    "description": g["description"],
                    "tenant_id": g["project_id"],
                    "rules": [],
                }
                for g in self.store.list("security_group")
                if g["id"] in ids
            ]
        }

    def history(self, request, id):
        """The actions are not recorded here."""
        self.compute.get(request, id)
        return {"instanceActions": []}
