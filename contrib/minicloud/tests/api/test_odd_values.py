"""Every member of a valid body takes every odd value in turn: the answer may be all but an error of the service."""

import json

import pytest

pytestmark = pytest.mark.slow
ODD = [
    None, "", 0, -1, 1e308, 10**30, [], {}, "x" * 300, "\u0000", "\U0001f4a5", True, [None], {"a": None}, "999.1.1.1",
    "::1", "10.77.0.0/33", [{}], "../../etc/passwd", 1.5, [["x"]], {"id": {}}, {"name": []},
]  # fmt: skip
COMPUTE, VOLUME, NETWORK, KEYSTONE = "/compute/v2.1", "/volume/v3/{project}", "/network/v2.0", "/identity/v3"
ACTION = f"{COMPUTE}/servers/{{server}}/action"
REQUESTS = [
    ("POST", f"{COMPUTE}/servers", {"server": {
        "name": "s", "imageRef": "{image}", "flavorRef": "1", "user_data": "aGk=", "config_drive": True, "min_count": 1,
        "networks": [{"uuid": "{network}", "fixed_ip": "10.77.9.9"}], "security_groups": [{"name": "default"}],
        "personality": [{"path": "/a", "contents": "aGk="}], "metadata": {"a": "b"}, "max_count": 1,
        "block_device_mapping": [{"device_name": "vdb", "volume_id": "{volume}", "volume_size": "1"}],
        "block_device_mapping_v2": [{"source_type": "blank", "destination_type": "volume", "volume_size": 1,
                                     "boot_index": -1}]}}),
    ("POST", ACTION, {"resize": {"flavorRef": "2"}}),
    ("POST", ACTION, {"reboot": {"type": "SOFT"}}),
    ("POST", ACTION, {"os-getConsoleOutput": {"length": 5}}),
    ("POST", ACTION, {"addSecurityGroup": {"name": "default"}}),
    ("POST", f"{COMPUTE}/servers/{{server}}/os-volume_attachments",
     {"volumeAttachment": {"volumeId": "{volume}", "device": "/dev/vdb"}}),
    ("PUT", f"{COMPUTE}/servers/{{server}}/metadata", {"metadata": {"a": "b"}}),
    ("POST", f"{COMPUTE}/flavors", {"flavor": {
        "name": "f", "ram": 1, "vcpus": 1, "disk": 1, "id": "auto", "swap": 0, "rxtx_factor": 1.0}}),
    ("PUT", f"{COMPUTE}/os-quota-sets/{{project}}", {"quota_set": {"instances": 100, "force": True}}),
    ("POST", f"{VOLUME}/volumes", {"volume": {
        "size": 1, "name": "n", "volume_type": "lvmdriver-1", "metadata": {"a": "b"}, "availability_zone": "nova"}}),
    ("POST", f"{VOLUME}/volumes/{{volume}}/action", {"os-extend": {"new_size": 2}}),
    ("POST", f"{NETWORK}/networks", {"network": {"name": "n", "shared": False, "mtu": 1500}}),
    ("POST", f"{NETWORK}/subnets", {"subnet": {
        "network_id": "{network}", "cidr": "10.9.0.0/24", "ip_version": 4, "gateway_ip": "10.9.0.1",
        "allocation_pools": [{"start": "10.9.0.2", "end": "10.9.0.9"}], "dns_nameservers": ["10.9.0.1"]}}),
    ("POST", f"{NETWORK}/ports", {"port": {
        "network_id": "{network}", "fixed_ips": [{"ip_address": "10.77.1.1"}], "security_groups": ["{group}"]}}),
    ("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": {
        "security_group_id": "{group}", "direction": "ingress", "protocol": "tcp", "port_range_min": 1,
        "port_range_max": 2, "remote_ip_prefix": "0.0.0.0/0", "ethertype": "IPv4"}}),
    ("POST", "/image/v2/images", {
        "name": "i", "container_format": "bare", "disk_format": "raw", "visibility": "private", "tags": ["a"],
        "min_ram": 0, "minicloud_binds": '[{"source": "/", "target": "/x"}]', "x": "y"}),
    ("POST", f"{KEYSTONE}/projects", {"project": {"name": "n", "domain_id": "default", "tags": ["x"]}}),
    ("POST", f"{KEYSTONE}/users", {"user": {"name": "n", "password": "x", "email": "x"}}),
    ("POST", f"{KEYSTONE}/endpoints", {"endpoint": {
        "service_id": "x", "interface": "public", "url": "http://x/$(project_id)s", "region": "R"}}),
    ("POST", f"{KEYSTONE}/auth/tokens", {"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "admin", "domain": {"name": "Default"}, "password": "wrong"}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}}),
    ("POST", "/identity/v2.0/tokens", {"auth": {
        "passwordCredentials": {"username": "admin", "password": "wrong"}, "tenantName": "admin"}}),
]  # fmt: skip


def places(value, path=()):
    """The paths of all members of a body, itself included."""
    yield path
    for key, child in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield from places(child, (*path, key))


def replaced(body, path, value):
    """A copy of a body with one member replaced."""
    if not path:
        return value
    copy = json.loads(json.dumps(body))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


@pytest.fixture(scope="module")
def names(fake, admin, image):
    """Ids of things that exist, for the templates above."""
    project = admin.get_project_id()
    volume = admin.post(f"{fake.url('volume')}/v3/{project}/volumes", json={"volume": {"size": 1}}).json()["volume"]
    body = {"server": {"name": "s", "imageRef": image, "flavorRef": "1"}}
    server = admin.post(f"{fake.url('compute')}/v2.1/servers", json=body).json()["server"]
    network = admin.get(f"{fake.url('network')}/v2.0/networks?name=private").json()["networks"][0]
    group = admin.get(f"{fake.url('network')}/v2.0/security-groups?name=default").json()["security_groups"][0]
    fake.wait_idle()
    return {"project": project, "image": image, "volume": volume["id"], "server": server["id"],
            "network": network["id"], "group": group["id"]}  # fmt: skip


@pytest.mark.parametrize(
    "method, path, body", REQUESTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_value_is_an_error_of_the_service(fake, admin, names, method, path, body):
    text = json.dumps(body)
    for name, value in names.items():
        text, path = text.replace(f"{{{name}}}", value), path.replace(f"{{{name}}}", value)
    body = json.loads(text)
    headers = {"Content-Type": "application/json"}
    codes, url = set(), fake.url(path.split("/")[1]).rpartition("/")[0]
    for place in places(body):
        for value in ODD:
            data = json.dumps(replaced(body, place, value))
            answer = admin.request(url + path, method, data=data, headers=headers, raise_exc=False)
            assert answer.status_code < 500, f"{place} = {value!r}: {answer.text}"
            codes.add(answer.status_code)
    assert codes & {400, 401, 409}, "some values are refused"
    fake.wait_idle(30)
