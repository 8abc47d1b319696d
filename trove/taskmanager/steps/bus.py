"""What a guest needs of the broker: an account limited to its own topic and the conductor's, made and removed through
RabbitMQ's management API. With [guest_bus] credentials = shared guests get none of their own.
"""
import re
import secrets
from pathlib import Path
from urllib.parse import quote

import requests
from oslo_log import log as logging

from trove import rpc
from trove.common import crypto, exception, tls
from trove.common.cfg import CONF, PLACEHOLDERS
from trove.db import guest_secrets, keys

LOG = logging.getLogger(__name__)

PER_INSTANCE = "per_instance"
# Queues or exchanges in one answer of the management API.
_PAGE = 100


def problems():
    """Sentences that say which options are wrong; empty when guests can be given what they need."""
    options = CONF.guest_bus
    if options.credentials != PER_INSTANCE:
        return []
    found = [f"set [guest_bus] {name} (or [guest_bus] credentials = shared)"
             for name in ("management_url", "management_user", "management_password", "address") if not options[name]]
    if (options.management_password or "").lower() in PLACEHOLDERS - {""}:
        found.append("set [guest_bus] management_password to a password of your own")
    agent_config = Path(CONF.guest_config)
    if agent_config.is_file() and re.search(r"^\s*transport_url\s*=", agent_config.read_text(), re.MULTILINE):
        found.append(f"remove transport_url from {agent_config}: it would replace the one of each guest")
    return found


def create_account(work):
    """Make the guest's account with a fresh password, or give it one if an attempt before this made it."""
    if CONF.guest_bus.credentials != PER_INSTANCE:
        return
    password = secrets.token_urlsafe(24)
    with _Broker() as broker:
        _put_account(broker, work.resource_id, user(work.resource_id), password)
    work.note(bus_password=crypto.encrypt(password))


def create_next_account(work):
    """Make the account of the guest's next secrets, generation ``work.data["generation"]``, beside the one in use."""
    if CONF.guest_bus.credentials != PER_INSTANCE:
        return
    instance_id, generation = work.resource_id, work.data["generation"]
    with _Broker() as broker:
        _put_account(broker, instance_id, user(instance_id, generation), _password(instance_id, generation))


def delete_old_accounts(work):
    """Remove the accounts of secrets that were replaced. That also closes their connections."""
    with work.reading() as session:
        (generation, *_), old = guest_secrets.accounts(session, work.resource_id)
    if CONF.guest_bus.credentials == PER_INSTANCE:
        with _Broker() as broker:
            for each in old:
                broker.delete(f"users/{user(work.resource_id, each)}")
    with work.writing() as session:
        guest_secrets.forget_accounts(session, work.resource_id, generation)


def _password(instance_id, generation):
    return crypto.guest_password(instance_id, generation, keys.of_guest(instance_id, generation))


def _put_account(broker, instance_id, name, password):
    vhost = _vhost()
    broker.put(f"users/{name}", {"password": password, "tags": ""})
    broker.put(f"permissions/{vhost}/{name}", permissions(instance_id))
    broker.put(f"topic-permissions/{vhost}/{name}", topic_permissions(instance_id))


def delete_account(work):
    """Remove the guest's account, its queues and its exchanges; look again until nothing is found any more.

    The management API may answer lists from a cache of some seconds: what was made last can be missing in the first.
    """
    if not CONF.guest_bus.management_url:
        return None
    name, vhost = f"guestagent.{work.resource_id}", _vhost()
    with work.reading() as session:
        used, old = guest_secrets.accounts(session, work.resource_id)
    with _Broker() as broker:
        for generation in (*used, *old):
            broker.delete(f"users/{user(work.resource_id, generation)}")
        for kind in ("queues", "exchanges"):
            found = broker.get(f"{kind}/{vhost}", {"name": name, "page": 1, "page_size": _PAGE})["items"]
            for thing in found:
                broker.delete(f"{kind}/{vhost}/{quote(thing['name'], safe='')}")
            if found:
                return work.again()
    work.data.pop("bus_password", None)
    return None


def forget_password(work):
    """Drop the password from the notes; the guest has it."""
    work.data.pop("bus_password", None)


def guest_transport_url(work, generation=0):
    """The transport_url of the guest with its own account; None when all guests share the one of guest_config.

    generation: of the guest's secrets.
    """
    if CONF.guest_bus.credentials != PER_INSTANCE:
        return None
    host, _, port = CONF.guest_bus.address.rpartition(":")
    password = (_password(work.resource_id, generation) if generation
                else crypto.decrypt(work.data["bus_password"]))
    account = rpc.messaging.TransportHost(hostname=host, port=int(port), username=user(work.resource_id, generation),
                                      password=password)
    return str(rpc.messaging.TransportURL(CONF, transport="rabbit", virtual_host=CONF.guest_bus.virtual_host,
                                      hosts=[account]))


def permissions(instance_id):
    """What a guest may do by name of queue and exchange: its own things, publish to and bind to the shared exchange.

    amq.default carries replies. It would also reach any queue by its name: that is why messages carry a proof.
    """
    own = rf"guestagent\.{re.escape(instance_id)}(\..*|_fanout.*)?"
    return {"configure": rf"^{own}$", "write": rf"^({own}|{rpc.CONTROL_EXCHANGE}|amq\.default)$",
            "read": rf"^({own}|{rpc.CONTROL_EXCHANGE})$"}


def topic_permissions(instance_id):
    """What a guest may do by routing key on the shared exchange: write to the conductor, read its own topic."""
    return {"exchange": rpc.CONTROL_EXCHANGE, "write": rf"^{re.escape(CONF.conductor_queue)}$",
            "read": rf"^guestagent\.{re.escape(instance_id)}(\..*)?$"}


def user(instance_id, generation=0):
    """Return the name of a guest's account. Each generation of its secrets has one of its own, so that a guest that
    is just being given new ones can come back with the old ones.
    """
    return f"guest-{instance_id}.{generation}" if generation else f"guest-{instance_id}"


def _vhost():
    return quote(CONF.guest_bus.virtual_host, safe="")


class _Broker:
    """The management API, as a context manager around one HTTP session."""

    def __enter__(self):
        self._http = requests.Session()
        self._http.auth = (CONF.guest_bus.management_user, CONF.guest_bus.management_password)
        self._http.trust_env = False  # variables of the environment name neither its proxy nor its CA
        self._http.verify = tls.management_verification()
        return self

    def __exit__(self, *_error):
        self._http.close()

    def put(self, path, body):
        """Make or replace the thing at ``path``."""
        self._request("PUT", path, json=body)

    def delete(self, path):
        """Delete the thing at ``path``; absence is fine."""
        self._request("DELETE", path, absent_is_fine=True)

    def get(self, path, query):
        """What is at ``path``."""
        return self._request("GET", path, params=query).json()

    def _request(self, method, path, absent_is_fine=False, **kwargs):
        url = f"{CONF.guest_bus.management_url.rstrip('/')}/api/{path}"
        try:
            answer = self._http.request(method, url, timeout=CONF.guest_bus.timeout, **kwargs)
        except requests.exceptions.SSLError as error:
            raise exception.TroveError("The message broker's management API does not prove who it is: its certificate "
                                       f"is not accepted ({_reason(error)}; option [guest_bus] management_ca_file)."
                                       ) from None  # unlike an error of the connection it does not pass
        except (requests.ConnectionError, requests.Timeout) as error:
            raise exception.ServiceUnavailable("The message broker does not answer (option [guest_bus] management_url)."
                                               ) from error
        if answer.ok or (absent_is_fine and answer.status_code == 404):
            return answer
        text = f"The message broker answered {answer.status_code} to {method} {path}: {answer.text[:200]}"
        if answer.status_code >= 500:
            raise exception.ServiceUnavailable(text)
        raise exception.TroveError(text)


def _reason(error):
    """Return the innermost cause of an error of ``requests`` as text: its own names objects."""
    while (inner := getattr(error, "reason", None) or next(
            (each for each in error.args if isinstance(each, Exception)), None)) and isinstance(inner, Exception):
        error = inner
    return getattr(error, "verify_message", None) or str(error)
