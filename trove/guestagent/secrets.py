"""The agent's own secrets in its configuration directory: new ones replace them once the broker has taken them."""
import configparser
from pathlib import Path

from oslo_config import cfg as oslo_cfg
from oslo_log import log as logging

from trove import rpc
from trove.common import envelope, exception, sealing
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system

# As the task manager calls it (``taskmanager.steps.files``).
SERVER_CERTIFICATE = "server.pem"

LOG = logging.getLogger(__name__)


def replace(generation, sealed):
    """Replace the files that hold this guest's secrets; returns whether the agent must be started with new ones.

    generation: of the new secrets; when the agent runs with them already, nothing is done. sealed: [[name, text]] of
    the files, sealed with the key in use, in the order in which they are to be replaced.
    Each file is replaced as a whole, the one with the key last: an agent that dies in between comes back with the old
    key and the old account, and any certificate fits both.
    Raises BadRequest when the files cannot be opened or used, and GuestError when the broker refuses the new account:
    then nothing was replaced.
    """
    if envelope.generation_of(CONF.guest_key) >= generation:
        return False
    contents = unseal(sealed)
    directory = _directory()
    staged = {name: directory / f".{Path(name).name}.new" for name, _ in contents}
    try:
        for name, text in contents:
            operating_system.write_file(staged[name], text, mode=0o600)
        _try_account(contents[-1][1], {str(directory / name): str(path) for name, path in staged.items()})
        for name, path in staged.items():
            path.replace(directory / Path(name).name)
        operating_system.sync_directory(directory)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)
    LOG.info("%s: the secrets of generation %d are in %s", CONF.guest_id, generation, directory)
    return True


def unseal(sealed):
    """Return the content of a text that was sealed for this guest. Raises BadRequest when it cannot be opened."""
    try:
        return sealing.unseal(CONF.guest_key, sealed)
    except ValueError as error:
        raise exception.BadRequest(f"The new secrets are refused: {error}.") from error


def first_server_certificate():
    """Return the key and certificate (PEM text) that came with the server, or None when it came without."""
    if CONF.get_location("guest_key").location is not oslo_cfg.Locations.user:
        return None
    return operating_system.read_file(_directory() / SERVER_CERTIFICATE)


def _directory():
    """The directory of the file that sets guest_key."""
    return Path(CONF.get_location("guest_key").detail).parent


def _try_account(info, staged):
    """Log in at the broker as the agent will do with the new files. Raises GuestError when that fails."""
    parser = configparser.RawConfigParser(default_section=None)
    parser.read_string(info)
    values = {name: value.replace("$$", "$") for group in parser.sections() for name, value in parser[group].items()}
    if "transport_url" not in values:
        return
    files = {name: staged.get(values[name], values[name])
             for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file") if name in values}
    try:
        rpc.try_account(values["transport_url"], CONF.agent_call_low_timeout, **files)
    except rpc.CONNECTION_ERRORS as error:
        raise exception.GuestError(original=f"the broker refuses its new secrets: {error}") from error
