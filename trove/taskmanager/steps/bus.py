"""The objects of a guest at the broker: an account with limits and permissions, and three queues.

They are made and removed through RabbitMQ's management API. With [guest_bus] credentials = shared guests get none of
their own.

Why a virtual host of their own ([guest_bus] virtual_host) and no node: names, permissions and limits of guests and
services are then apart, at no cost. Memory and disk are the node's, so what one guest can fill is bounded here; whoever
wants services to go on even then gives guests a node of their own ([guest_bus] transport_url).
"""
import re
import secrets
from pathlib import Path
from urllib.parse import quote

import requests
from oslo_log import log as logging

from trove import rpc
from trove.common import crypto, exception, tls, transport
from trove.common.cfg import CONF, PLACEHOLDERS
from trove.db import guest_secrets, keys

LOG = logging.getLogger(__name__)

# Queues or exchanges in one answer of the management API.
_PAGE = 100


def problems():
    """Sentences that say which options are wrong; empty when guests can be given what they need."""
    options = CONF.guest_bus
    if not rpc.has_own_accounts():
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
    if not rpc.has_own_accounts():
        return
    password = secrets.token_urlsafe(24)
    with Broker() as broker:
        _make_account(broker, work.resource_id, transport.guest_account(work.resource_id), password)
    work.note(bus_password=crypto.encrypt(password))


def create_next_account(work):
    """Make the account of the guest's next secrets, generation ``work.data["generation"]``, beside the one in use."""
    if not rpc.has_own_accounts():
        return
    instance_id, generation = work.resource_id, work.data["generation"]
    with Broker() as broker:
        account, password = transport.guest_account(instance_id, generation), _password(instance_id, generation)
        _make_account(broker, instance_id, account, password)


def delete_old_accounts(work):
    """Remove the accounts of secrets that were replaced. That also closes their connections."""
    with work.reading() as session:
        (generation, *_), old = guest_secrets.accounts(session, work.resource_id)
    if rpc.has_own_accounts():
        with Broker() as broker:
            for each in old:
                broker.delete(f"users/{transport.guest_account(work.resource_id, each)}")
    with work.writing() as session:
        guest_secrets.forget_accounts(session, work.resource_id, generation)


def _password(instance_id, generation):
    return crypto.guest_password(instance_id, generation, keys.of_guest(instance_id, generation))


def _make_account(broker, instance_id, name, password):
    broker.put(f"users/{name}", {"password": password, "tags": ""})
    furnish(broker, instance_id, name)


def furnish(broker, instance_id, name):
    """Give an account of an instance its limits, permissions and queues. May be repeated.

    The queues are the instance's: its accounts of all generations use the same.

    broker: an entered Broker; name: of the account, which must exist.
    """
    vhost = virtual_host()
    for limit, value in limits().items():
        broker.put(f"user-limits/{name}/{limit}", {"value": value})
    furnish_queues(broker, instance_id)
    # Last: whoever may log in finds everything in its place.
    broker.put(f"topic-permissions/{vhost}/{name}", topic_permissions(instance_id))
    broker.put(f"permissions/{vhost}/{name}", permissions(instance_id))


def furnish_queues(broker, instance_id):
    """Declare and bind the queues of a guest. May be repeated. broker: Broker."""
    prepare_virtual_host(broker)
    for queue, key in queues(instance_id).items():
        broker.put(f"queues/{virtual_host()}/{queue}", QUEUE)
        broker.post(f"bindings/{virtual_host()}/e/{rpc.GUESTS_EXCHANGE}/q/{queue}", {"routing_key": key})


def prepare_virtual_host(broker):
    """Make the guests' exchange, and set the limits of all queues that guests can fill. May be repeated."""
    broker.put(f"exchanges/{virtual_host()}/{rpc.GUESTS_EXCHANGE}", EXCHANGE)
    if CONF.guest_bus.old_agents:
        broker.put(f"exchanges/{virtual_host()}/{rpc.CONTROL_EXCHANGE}", {**EXCHANGE, "durable": False})
        broker.post(f"bindings/{virtual_host()}/e/{rpc.GUESTS_EXCHANGE}/e/{rpc.CONTROL_EXCHANGE}",
                    {"routing_key": "guestagent.#"})
    for name, policy in policies().items():
        broker.put(f"operator-policies/{virtual_host()}/{name}", policy)


def delete_account(work):
    """Remove the guest's account with its connections, then its queues by their exact names.

    With [guest_bus] old_agents also the queues that the account, by the permissions of the release before, can have
    made: look again until none is found, as the management API may answer lists from a cache of some seconds. Nobody
    makes more of them once the account is gone.
    """
    if not CONF.guest_bus.management_url:
        return None
    instance_id, vhost = work.resource_id, virtual_host()
    with work.reading() as session:
        used, old = guest_secrets.accounts(session, instance_id)
    with Broker() as broker:
        for generation in (*used, *old):
            broker.delete(f"users/{transport.guest_account(instance_id, generation)}")
        for queue in queues(instance_id):
            broker.delete(f"queues/{vhost}/{queue}")
        if CONF.guest_bus.old_agents or not rpc.has_own_accounts():
            pattern, found = f"^{_old_names(instance_id)}$", []
            for kind in ("queues", "exchanges"):
                found = broker.get(f"{kind}/{vhost}", {"name": pattern, "use_regex": "true", "page": 1,
                                                       "page_size": _PAGE})["items"]
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
    if not rpc.has_own_accounts():
        return None
    host, _, port = CONF.guest_bus.address.rpartition(":")
    password = (_password(work.resource_id, generation) if generation
                else crypto.decrypt(work.data["bus_password"]))
    account = rpc.messaging.TransportHost(
        hostname=host, port=int(port), password=password,
        username=transport.guest_account(work.resource_id, generation))
    return str(rpc.messaging.TransportURL(CONF, transport="rabbit", virtual_host=rpc.guests_url().virtual_host or "/",
                                      hosts=[account]))


# Exchange and queues of guests outlast a restart of the broker.
EXCHANGE = {"type": "topic", "durable": True, "auto_delete": False}
QUEUE = {"durable": True, "auto_delete": False, "arguments": {}}


def queues(instance_id):
    """Return {name of each queue of a guest: the routing key that leads to it}.

    The first two are those from which the agent takes commands, the last is that of its reports.
    """
    topic, reports = f"guestagent.{instance_id}", report_queue(instance_id)
    return {topic: topic, f"{topic}.{instance_id}": f"{topic}.{instance_id}", reports: reports}


def report_queue(instance_id):
    """Return the name of the queue of a guest's reports."""
    return f"{CONF.conductor_queue}.{instance_id}"


def limits():
    """Return RabbitMQ's limits of one account."""
    return {"max-connections": CONF.guest_bus.max_connections, "max-channels": CONF.guest_bus.max_channels}


def policies():
    """Return the operator policies of the guests' virtual host by name. A full queue drops its own oldest messages."""
    options, reports = CONF.guest_bus, re.escape(CONF.conductor_queue)

    def policy(pattern, length, size):
        return {"pattern": pattern, "apply-to": "queues", "priority": 10, "definition": {
            "max-length": length, "max-length-bytes": size, "message-ttl": options.message_ttl * 1000}}
    return {"trove-reports": policy(rf"^{reports}\.", options.report_queue_length, options.report_queue_size),
            "trove-commands": policy(r"^guestagent\.", options.command_queue_length, options.command_queue_size),
            "trove-replies": policy(rf"^(reply_.*|{reports})$", options.reply_queue_length, options.reply_queue_size)}


def permissions(instance_id):
    """Return RabbitMQ's permissions of a guest: it reads its own commands and publishes to the guests' exchange.

    It cannot declare or bind anything, and cannot publish to the default exchange, which reaches every queue by name.
    """
    own = re.escape(f"guestagent.{instance_id}")
    return {"configure": "^$", "write": f"^{rpc.GUESTS_EXCHANGE}$",
            "read": rf"^{own}(\.{re.escape(instance_id)})?$"}


def topic_permissions(instance_id):
    """Return the topic permissions of a guest: on the guests' exchange it reports and answers under its own id only."""
    answers = re.escape(rpc.reply_key(instance_id, ""))
    return {"exchange": rpc.GUESTS_EXCHANGE, "read": "^$",
            "write": rf"^({re.escape(report_queue(instance_id))}|{answers}reply_[0-9a-f]+)$"}


def _old_names(instance_id):
    """Return a pattern of the queue names that belong to one guest's account of the previous release."""
    return rf"guestagent\.{re.escape(instance_id)}(\..*|_fanout.*)?"


def virtual_host():
    """Return the name of the guests' virtual host as a part of a path."""
    return quote(rpc.guests_url().virtual_host or "/", safe="")


class Broker:
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

    def post(self, path, body):
        """Add what ``body`` says below ``path``."""
        self._request("POST", path, json=body)

    def delete(self, path):
        """Delete the thing at ``path``; absence is fine."""
        self._request("DELETE", path, absent_is_fine=True)

    def get(self, path, query=None):
        """Return what is at ``path``."""
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
