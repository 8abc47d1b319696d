"""The files that a new guest is given: who it is, and how it reaches the bus."""
from pathlib import Path, PurePosixPath

from trove.common import crypto
from trove.common.cfg import CONF
from trove.taskmanager.steps import bus

AGENT_CONFIG = "trove-guestagent.conf"
# Seconds after which the broker drops a queue of the agent's own that nobody reads. One that a guest made in the moment
# it was killed can be missing in what the broker lists when the guest's things are removed.
_UNUSED_QUEUE_TTL = 20


def injected(work):
    """Path -> text of the files injected into the guest of an instance."""
    directory = PurePosixPath(CONF.injected_config_location)
    # A path in the option stands for itself, a name for a file in the directory.
    contents = {str(directory / CONF.guest_info): _guest_info(work)}
    agent_config = Path(CONF.guest_config)
    if agent_config.is_file():
        contents[str(directory / AGENT_CONFIG)] = agent_config.read_text()
    return contents


def _guest_info(work):
    values = {"guest_id": work.resource_id, "datastore_manager": work.args["datastore"]["manager"],
              "tenant_id": work.operation.tenant_id, "guest_key": crypto.guest_key(work.resource_id)}
    transport_url = bus.guest_transport_url(work)
    if transport_url:
        values["transport_url"] = transport_url
    # A dollar sign would begin a substitution.
    lines = [f"{name} = {value}".replace("$", "$$") for name, value in values.items()]
    return "\n".join(["[DEFAULT]", *lines, "[oslo_messaging_rabbit]",
                      f"rabbit_transient_queues_ttl = {_UNUSED_QUEUE_TTL}", ""])
