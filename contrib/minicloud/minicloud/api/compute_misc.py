"""Nova beside servers and flavors: limits, quotas, zones, usage, services."""

import datetime
import functools
import os

from minicloud.api import schema
from minicloud.api.web import Fault
from minicloud.store import now

QUOTAS = {
    "instances": 100,
    "cores": 200,
    "ram": 512000,
    "key_pairs": 100,
    "metadata_items": 128,
    "server_groups": 10,
    "server_group_members": 10,
    "injected_files": 20,
    "injected_file_content_bytes": 1 << 20,
    "injected_file_path_bytes": 255,
    "fixed_ips": -1,
    "floating_ips": -1,
    "security_groups": -1,
    "security_group_rules": -1,
}


def quotas(cloud, project_id):
    """What the project may have."""
    return {**QUOTAS, **((cloud.store.find("compute_quota", project_id) or {}).get("limits", {}))}


def used(cloud, project_id):
    """What the project has of instances, cores and ram."""
    flavors = [server["flavor"] for server in cloud.store.list("server", project_id=project_id)]
    return {
        "instances": len(flavors),
        "cores": sum(f["vcpus"] for f in flavors),
        "ram": sum(f["ram"] for f in flavors),
    }


def require_quota(cloud, project_id, count, flavor, instead_of=None):
    """:raises Fault: 403 when so many servers of the flavor (or one, in place of another flavor) would be too much."""
    limit, have, n = quotas(cloud, project_id), used(cloud, project_id), count or 1
    old = instead_of or {"vcpus": 0, "ram": 0}
    wanted = {
        "instances": count,
        "cores": n * (flavor["vcpus"] - old["vcpus"]),
        "ram": n * (flavor["ram"] - old["ram"]),
    }
    over = [name for name, more in wanted.items() if more > 0 and 0 <= limit[name] < have[name] + more]
    if over:
        raise Fault(
            403,
            f"Quota exceeded for {', '.join(over)}: Requested {', '.join(str(wanted[o]) for o in over)}, "
            "but already used "
            f"{', '.join(str(have[o]) for o in over)} of {', '.join(str(limit[o]) for o in over)} {', '.join(over)}",
        )


class ComputeMisc:
    """The handlers."""

    def __init__(self, cloud):
        self.cloud, self.store = cloud, cloud.store

    def table(self):
        """The routes."""
        quota = "/os-quota-sets/<project_id>"
        return [
            ("GET", "/limits", self.limits),
            ("GET", quota, self.quota),
            ("PUT", quota, self.set_quota),
            ("GET", f"{quota}/defaults", self.default_quota),
            ("GET", f"{quota}/detail", functools.partial(self.quota, detail=True)),
            ("GET", "/os-availability-zone", self.zones),
            ("GET", "/os-availability-zone/detail", functools.partial(self.zones, detail=True)),
            ("GET", "/os-simple-tenant-usage", self.usages),
            ("GET", "/os-simple-tenant-usage/<project_id>", self.usage),
            ("GET", "/os-services", self.services),
            ("GET", "/os-hypervisors", self.hypervisors),
            ("GET", "/os-hypervisors/detail", functools.partial(self.hypervisors, detail=True)),
            ("GET", "/extensions", self.extensions),
            ("GET", "/os-keypairs", functools.partial(self.nothing, name="keypairs")),
            ("GET", "/os-server-groups", functools.partial(self.nothing, name="server_groups")),
            ("GET", "/os-aggregates", functools.partial(self.nothing, name="aggregates")),
        ]

    # Limits and quotas

    def limits(self, request):
        """Absolute limits and what is used of them."""
        project = request.context.project_id
        if request.args.get("tenant_id", project) != project:
            request.context.require_admin("os_compute_api:limits:other_project")
            project = request.args["tenant_id"]
        limit, have = quotas(self.cloud, project), used(self.cloud, project)
        absolute = {
            "maxTotalInstances": limit["instances"],
            "maxTotalCores": limit["cores"],
            "maxTotalRAMSize": limit["ram"],
            "maxTotalKeypairs": limit["key_pairs"],
            "maxServerMeta": limit["metadata_items"],
            "maxImageMeta": 128,
            "maxServerGroups": limit["server_groups"],
            "maxServerGroupMembers": limit["server_group_members"],
            "totalInstancesUsed": have["instances"],
            "totalCoresUsed": have["cores"],
            "totalRAMUsed": have["ram"],
            "totalServerGroupsUsed": 0,
        }
        if request.version < (2, 36):
            absolute.update(
                {
                    "maxSecurityGroups": -1,
                    "maxSecurityGroupRules": -1,
                    "maxTotalFloatingIps": -1,
                    "totalFloatingIpsUsed": 0,
                    "totalSecurityGroupsUsed": 0,
                }
            )
        if request.version < (2, 57):
            absolute.update(
                {
                    "maxPersonality": limit["injected_files"],
                    "maxPersonalitySize": limit["injected_file_content_bytes"],
                }
            )
        return {"limits": {"rate": [], "absolute": absolute}}

    def _quota_view(self, request, project_id, limit):
        hidden = (
            {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}
            if request.version >= (2, 36)
            else set()
        )
        if request.version >= (2, 57):
            hidden |= {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
        return {
            "quota_set": {
                "id": project_id,
                **{name: value for name, value in limit.items() if name not in hidden},
            }
        }

    def quota(self, request, project_id, detail=False):
        """The quotas of a project; with /detail what is used of each."""
        if project_id != request.context.project_id:
            request.context.require_admin("os_compute_api:os-quota-sets:show")
        limit = quotas(self.cloud, project_id)
        if detail:
            have = used(self.cloud, project_id)
            limit = {
                name: {"limit": n, "in_use": have.get(name, 0), "reserved": 0} for name, n in limit.items()
            }
        return self._quota_view(request, project_id, limit)

    def default_quota(self, request, project_id):
        """What a project has that was never changed."""
        return self._quota_view(request, project_id, QUOTAS)

    def set_quota(self, request, project_id):
        """For administrators."""
        request.context.require_admin("os_compute_api:os-quota-sets:update")
        number = {"type": ["integer", "string"], "pattern": "^-?[0-9]+$", "minimum": -1}
        body = schema.body_of(
            request,
            "quota_set",
            schema.fields(
                **dict.fromkeys(QUOTAS, number), force=schema.BOOLEAN, tenant_id={"type": "string"}
            ),
        )
        new = {name: int(value) for name, value in body.items() if name in QUOTAS}
        with self.store.transaction():
            limits = {**quotas(self.cloud, project_id), **new}
            self.store.remove("compute_quota", project_id)
            self.store.add("compute_quota", {"id": project_id, "limits": limits})
        body = self._quota_view(request, project_id, limits)
        del body["quota_set"]["id"]
        return body

    # The cloud itself

    def zones(self, request, detail=False):
        """The one zone."""
        zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
        if detail:
            request.context.require_admin("os_compute_api:os-availability-zone:detail")
            alive = {"available": True, "active": True, "updated_at": now() + ".000000"}
            zone["hosts"] = {"minicloud": {"nova-compute": alive}}
        return {"availabilityZoneInfo": [zone]}

    def services(self, request):
        """For administrators: one of each."""
        request.context.require_admin("os_compute_api:os-services:list")
        binaries = ("nova-scheduler", "nova-conductor", "nova-compute")
        return {
            "services": [
                {
                    "id": number,
                    "binary": binary,
                    "host": "minicloud",
                    "zone": "nova" if binary == "nova-compute" else "internal",
                    "status": "enabled",
                    "state": "up",
                    "updated_at": now() + ".000000",
                    "disabled_reason": None,
                    **({"forced_down": False} if request.version >= (2, 11) else {}),
                }
                for number, binary in enumerate(binaries, 1)
            ]
        }

    def hypervisors(self, request, detail=False):
        """For administrators: the machine."""
        request.context.require_admin("os_compute_api:os-hypervisors:list")
        entry = {
            "id": 1 if request.version < (2, 53) else "00000000-0000-0000-0000-000000000001",
            "hypervisor_hostname": "minicloud",
            "state": "up",
            "status": "enabled",
        }
        if detail:
            have = used(self.cloud, None)
            entry.update(
                {
                    "hypervisor_type": "container",
                    "hypervisor_version": 1,
                    "host_ip": self.cloud.config.gateway,
                    "running_vms": have["instances"],
                    "vcpus_used": have["cores"],
                    "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2,
                    "memory_mb_used": have["ram"],
                    "service": {"id": 3, "host": "minicloud", "disabled_reason": None},
                }
            )
        return {"hypervisors": [entry]}

    def extensions(self, request):
        """What old clients look for before they ask for more."""
        aliases = (
            "os-volumes",
            "os-quota-sets",
            "os-availability-zone",
            "os-simple-tenant-usage",
            "os-flavor-manage",
            "os-services",
        )
        return {
            "extensions": [
                {
                    "alias": a,
                    "name": a,
                    "description": a,
                    "links": [],
                    "namespace": "",
                    "updated": "2014-12-03T00:00:00Z",
                }
                for a in aliases
            ]
        }

    def nothing(self, request, name):
        """There are none here."""
        return {name: []}

    # Usage

    def _period(self, request):
        end = _time(request, "end") or datetime.datetime.now(datetime.UTC)
        start = _time(request, "start") or end - datetime.timedelta(days=28)
        if start >= end:
            raise Fault(400, "Invalid start time. The start time cannot occur after the end time.")
        return start, end

    def _usage(self, request, project_id, servers, detailed):
        start, end = self._period(request)
        entries = []
        for server in servers:
            born = datetime.datetime.fromisoformat(server["created_at"])
            hours = max(0.0, (end - max(start, born)).total_seconds() / 3600)
            flavor = server["flavor"]
            entries.append(
                {
                    "instance_id": server["id"],
                    "name": server["name"],
                    "tenant_id": project_id,
                    "hours": hours,
                    "flavor": flavor["name"],
                    "vcpus": flavor["vcpus"],
                    "memory_mb": flavor["ram"],
                    "local_gb": flavor["disk"],
                    "started_at": server["created_at"][:-1] + ".000000",
                    "ended_at": None,
                    "state": server["vm_state"],
                    "uptime": int((end - born).total_seconds()),
                }
            )
        result = {
            "tenant_id": project_id,
            "start": start.strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "stop": end.strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "total_hours": sum(e["hours"] for e in entries),
            "total_vcpus_usage": sum(e["hours"] * e["vcpus"] for e in entries),
            "total_memory_mb_usage": sum(e["hours"] * e["memory_mb"] for e in entries),
            "total_local_gb_usage": sum(e["hours"] * e["local_gb"] for e in entries),
        }
        return {**result, "server_usages": entries} if detailed else result

    def usages(self, request):
        """For administrators: all projects."""
        request.context.require_admin("os_compute_api:os-simple-tenant-usage:list")
        by_project = {}
        for server in self.store.list("server"):
            by_project.setdefault(server["project_id"], []).append(server)
        detailed = request.args.get("detailed") == "1"
        return {
            "tenant_usages": [
                self._usage(request, project, found, detailed) for project, found in by_project.items()
            ]
        }

    def usage(self, request, project_id):
        """One project."""
        if project_id != request.context.project_id:
            request.context.require_admin("os_compute_api:os-simple-tenant-usage:show")
        found = self.store.list("server", project_id=project_id)
        return {"tenant_usage": self._usage(request, project_id, found, True) if found else {}}


def _time(request, name):
    if name not in request.args:
        return None
    try:
        moment = datetime.datetime.fromisoformat(request.args[name])
    except ValueError as error:
        raise Fault(400, f"{name}: '{request.args[name]}' is not an ISO 8601 time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
