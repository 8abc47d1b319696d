"""The files that a guest is given: who it is, how it reaches the bus, and its certificate."""
from pathlib import Path, PurePosixPath

from trove.common import exception, pki, tls, transport
from trove.common.cfg import CONF
from trove.db import keys
from trove.taskmanager.steps import bus

AGENT_CONFIG = "trove-guestagent.conf"
# The CA that verifies the broker; the guest's own key and certificate, in one file because both change together.
CA, CERTIFICATE = "guest_ca.pem", "guest.pem"
# Key and certificate with which its database server first starts; as ``trove.guestagent.secrets`` reads it.
SERVER_CERTIFICATE = "server.pem"
# Seconds after which the broker drops a queue of the agent's own that nobody reads. One that a guest made in the moment
# it was killed can be missing in what the broker lists when the guest's things are removed.
_UNUSED_QUEUE_TTL = 20


def injected(work):
    """Path -> text of the files injected into a new guest; and when its certificate ends (None without one)."""
    directory = _directory()
    files, until = of_secrets(work)
    # Its addresses are not known yet; it lets the server speak TLS, and ``secrets.certify_server`` replaces it.
    certificate = server_certificate(work.resource_id, [work.resource_id])
    if certificate:
        files = {SERVER_CERTIFICATE: certificate, **files}
    contents = {str(directory / name): text for name, text in files.items()}
    agent_config = Path(CONF.guest_config)
    if agent_config.is_file():
        contents[str(PurePosixPath(CONF.injected_config_location) / AGENT_CONFIG)] = agent_config.read_text()
    return contents, until


def of_secrets(work, generation=0):
    """Make the files that hold secrets of a guest: ({name: text}, when its certificate ends).

    The order is that in which they can replace older ones. generation: of the secrets; the end is in seconds since the
    epoch, None without a certificate. Raises TroveError when the files of the CA cannot be used.
    """
    bus_options, contents, until = {"rabbit_transient_queues_ttl": _UNUSED_QUEUE_TTL}, {}, None
    if tls.on_bus():
        directory = _directory()
        bus_options.update(ssl="true", ssl_ca_file=directory / CA)
        contents[CA] = Path(CONF.oslo_messaging_rabbit.ssl_ca_file).read_text()
        certificate = _certificate(work.resource_id)
        if certificate:
            contents[CERTIFICATE], until = certificate, pki.expiry(certificate)
            bus_options.update(ssl_cert_file=directory / CERTIFICATE, ssl_key_file=directory / CERTIFICATE)
    contents[_info_path().name] = _guest_info(work, generation, bus_options)
    return contents, until


def server_certificate(instance_id, addresses):
    """Make key and certificate of the database server of an instance as one PEM text; None when guests get none.

    Raises TroveError when the files of the CA cannot be used.
    """
    return _issue(instance_id, (pki.SERVER,), addresses)


def _certificate(instance_id):
    return _issue(transport.guest_account(instance_id), (pki.CLIENT,))


def _issue(name, usages, addresses=()):
    try:
        authority = tls.authority()
        return authority and authority.issue(name, pki.after(CONF.tls.guest_certificate_days), usages, addresses)
    except ValueError as error:
        raise exception.TroveError(f"No certificate can be made for the guest: {error} (option [tls] ca_file)."
                                   ) from error


def _info_path():
    # A path in the option stands for itself, a name for a file in the directory.
    return PurePosixPath(CONF.injected_config_location) / CONF.guest_info


def _directory():
    return _info_path().parent


def _guest_info(work, generation, bus_options):
    values = {"guest_id": work.resource_id, "datastore_manager": work.args["datastore"]["manager"],
              "tenant_id": work.operation.tenant_id, "guest_key": keys.guest_key(work.resource_id, generation)}
    transport_url = bus.guest_transport_url(work, generation)
    if transport_url:
        values["transport_url"] = transport_url
    lines = ["[DEFAULT]", *_lines(values), "[guest_bus]", *_lines({"credentials": CONF.guest_bus.credentials}),
             "[oslo_messaging_rabbit]", *_lines(bus_options), ""]
    return "\n".join(lines)


def _lines(values):
    # A dollar sign would begin a substitution.
    return [f"{name} = {value}".replace("$", "$$") for name, value in values.items()]
