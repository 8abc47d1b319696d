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
from trove.common import crypto, exception
from trove.common.cfg import CONF, PLACEHOLDERS

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
    user, vhost = _user(work.resource_id), _vhost()
    with _Broker() as broker:
        broker.put(f"users/{user}", {"password": password, "tags": ""})
        broker.put(f"permissions/{vhost}/{user}", permissions(work.resource_id))
        broker.put(f"topic-permissions/{vhost}/{user}", topic_permissions(work.resource_id))
    work.note(bus_password=crypto.encrypt(password))


def delete_account(work):
    """Remove the guest's account, its queues and its exchanges; look again until nothing is found any more.

    The management API may answer lists from a cache of some seconds: what was made last can be missing in the first.
    """
    if not CONF.guest_bus.management_url:
        return None
    name, vhost = f"guestagent.{work.resource_id}", _vhost()
    with _Broker() as broker:
        broker.delete(f"users/{_user(work.resource_id)}")
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


def guest_transport_url(work):
    """The transport_url of the guest with its own account; None when all guests share the one of guest_config."""
    if CONF.guest_bus.credentials != PER_INSTANCE:
        return None
    host, _, port = CONF.guest_bus.address.rpartition(":")
    account = rpc.messaging.TransportHost(hostname=host, port=int(port), username=_user(work.resource_id),
                                      password=crypto.decrypt(work.data["bus_password"]))
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


def _user(instance_id):
    return f"guest-{instance_id}"


def _vhost():
    return quote(CONF.guest_bus.virtual_host, safe="")


class _Broker:
    """The management API, as a context manager around one HTTP session."""

    def __enter__(self):
        self._http = requests.Session()
        self._http.auth = (CONF.guest_bus.management_user, CONF.guest_bus.management_password)
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
        except (requests.ConnectionError, requests.Timeout) as error:
            raise exception.ServiceUnavailable("The message broker does not answer (option [guest_bus] management_url)."
                                               ) from error
        if answer.ok or (absent_is_fine and answer.status_code == 404):
            return answer
        text = f"The message broker answered {answer.status_code} to {method} {path}: {answer.text[:200]}"
        if answer.status_code >= 500:
            raise exception.ServiceUnavailable(text)
        raise exception.TroveError(text)
