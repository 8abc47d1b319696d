"""Clients of the cloud and of guests: one Keystone session per process, timeouts and retries in one place.

Each factory is also the default of its option ``remote_<name>``, which may name another. Client libraries are
imported when first used, so that a process pays only for those it needs.
"""
import contextlib
import functools
import threading

from oslo_log import log as logging

from trove.common import cfg, exception
from trove.common.cfg import CONF
from trove.common.strategies import strategy

LOG = logging.getLogger(__name__)

# Statuses below 500 of what may succeed later; 498 is how Swift says that there were too many requests.
_PASSING = (408, 429, 498)
_lock = threading.RLock()
_made = {}


def reset():
    """Forget session and clients; the next use makes new ones (tests, and after a fork)."""
    with _lock:
        _made.clear()


def _once(function):
    """Decorator: the result is made once per process."""
    @functools.wraps(function)
    def get():
        with _lock:
            if function not in _made:
                _made[function] = function()
            return _made[function]
    return get


def _replaceable(factory):
    """Decorator: the option ``remote_<name of the factory>`` may name another factory."""
    option = f"remote_{factory.__name__}"

    @functools.wraps(factory)
    def get(*args):
        path = CONF[option]
        if path == f"{__name__}.{factory.__name__}":
            return factory(*args)
        return strategy.load(path, option=option)(*args)
    return get


@_once
def service_session():
    """The session of the service user, which owns all resources in the cloud. It renews its token by itself."""
    return _session(CONF.nova_proxy_admin_user, CONF.nova_proxy_admin_pass, CONF.nova_proxy_admin_tenant_id or None,
                    CONF.nova_proxy_admin_tenant_name or None, CONF.nova_proxy_admin_domain_name)


@_once
def swift_session():
    """Return the session of the user who keeps backups; the service user's unless the option swift_user is set."""
    if not CONF.swift_user:
        return service_session()
    return _session(CONF.swift_user, CONF.swift_password, None, CONF.swift_project_name, CONF.swift_domain_name)


def _session(user, password, tenant_id, tenant_name, domain):
    from keystoneauth1 import session
    from keystoneauth1.identity import v2, v3
    url = CONF.trove_auth_url.rstrip("/")
    if url.endswith("v2.0"):
        auth = v2.Password(url, user, password, tenant_id=tenant_id, tenant_name=None if tenant_id else tenant_name)
    else:
        auth = v3.Password(url if url.endswith("/v3") else f"{url}/v3", username=user, password=password,
                           user_domain_name=domain, project_id=tenant_id,
                           project_name=None if tenant_id else tenant_name,
                           project_domain_name=None if tenant_id else domain)
    return session.Session(auth=auth, session=_http(), timeout=CONF.cloud_request_timeout)


def _http():
    """A requests session that repeats what could not connect. keystoneauth's own retries would also repeat a POST
    whose answer was late, and so make two servers.
    """
    import requests
    from requests import adapters
    from urllib3.util import retry
    http = requests.Session()
    retries = retry.Retry(total=None, connect=CONF.cloud_request_retries, read=0, redirect=0, status=0, other=0,
                          backoff_factor=0.2)
    for scheme in ("http://", "https://"):
        http.mount(scheme, adapters.HTTPAdapter(pool_maxsize=CONF.taskmanager_threads + 2, max_retries=retries))
    return http


@_once
def _callers_http():
    return _http()


def _endpoint(url, separator="/"):
    """The keyword arguments that select an endpoint by its option, with the tenant appended, or by the catalog."""
    if not url:
        return {}
    return {"endpoint_override": f"{url.rstrip(separator)}{separator}{service_session().get_project_id()}"}


def _adapter(service):
    """The keyword arguments that all session clients share; service: prefix of the service's options."""
    return {"session": service_session(), "region_name": CONF.os_region_name,
            "service_type": CONF[f"{service}_service_type"], "interface": CONF[f"{service}_endpoint_type"]}


@_replaceable
@_once
def nova_client():
    """Nova, as the service user."""
    from novaclient import client
    options = _adapter("nova_compute")
    options["endpoint_type"] = options.pop("interface")  # the same, by the name of this library
    return client.Client(CONF.nova_client_version, **options, **_endpoint(CONF.nova_compute_url))


@_replaceable
@_once
def cinder_client():
    """Cinder, as the service user."""
    from cinderclient import client
    return client.Client("3", **_adapter("cinder"), **_endpoint(CONF.cinder_url))


@_replaceable
@_once
def neutron_client():
    """Neutron, as the service user."""
    from neutronclient.v2_0 import client
    override = {"endpoint_override": CONF.neutron_url} if CONF.neutron_url else {}
    return client.Client(**_adapter("neutron"), **override)


@_replaceable
@_once
def glance_client():
    """Glance, as the service user."""
    from glanceclient import client
    override = {"endpoint_override": CONF.glance_url} if CONF.glance_url else {}
    return client.Client("2", **_adapter("glance"), **override)


@_replaceable
def swift_client():
    """Swift, as the user who keeps backups; a connection of its own per call: threads may not share one.

    Only ``common.object_store`` calls it, which checks every name.
    """
    import swiftclient
    override = {}
    if CONF.swift_url:  # ends in AUTH_ or the like, so that the tenant's id completes it
        override = {"object_storage_url": f"{CONF.swift_url}{swift_session().get_project_id()}"}
    return swiftclient.Connection(
        session=swift_session(), timeout=CONF.cloud_request_timeout, retries=CONF.cloud_request_retries,
        os_options={"region_name": CONF.os_region_name, "service_type": CONF.swift_service_type,
                    "endpoint_type": CONF.swift_endpoint_type, **override})


@_replaceable
def tenant_neutron_client(token):
    """Neutron, with the token of a request: it shows what the caller may see. Raises ServiceUnavailable without one."""
    from keystoneauth1 import session, token_endpoint
    from neutronclient.v2_0 import client
    options = _adapter("neutron")
    url = CONF.neutron_url or options.pop("session").get_endpoint(**options)
    if not url:
        raise exception.ServiceUnavailable("The network service of the cloud is not in its catalog.")
    return client.Client(session=session.Session(auth=token_endpoint.Token(url, token), session=_callers_http(),
                                                 timeout=CONF.cloud_request_timeout))


def tenant_swift_client(token, project_id):
    """Swift, with the token of a request, for its tenant's own account. Only ``common.object_store`` calls it."""
    import swiftclient
    if CONF.swift_url:
        url = f"{CONF.swift_url}{project_id}"
    else:
        # As the catalog has it for the user who keeps backups: an account is called after its project.
        url = swift_client().get_auth()[0].replace(swift_session().get_project_id(), project_id)
    return swiftclient.Connection(preauthurl=url, preauthtoken=token, retries=0, timeout=CONF.cloud_request_timeout)


@_replaceable
def guest_client(context, instance_id, manager=None):
    """Commands for the agent of an instance.

    manager: name of its datastore manager, whose card may name a class with further commands; None for those that all
    agents know.
    """
    from trove.guestagent import api
    if manager is None:
        return api.API(context, instance_id)
    return strategy.load(cfg.traits(manager).client, api.API, f"[{manager}] client (in its card)")(context, instance_id)


def http_status(error):
    """The HTTP status that an error of a cloud's client carries, or None for any other error."""
    if isinstance(error, exception.TroveError):
        return None
    for name in ("http_status", "status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int):
            return status
    return None


@contextlib.contextmanager
def answering(service):
    """Around calls of the cloud that a user waits for: what it refuses or fails becomes ServiceUnavailable.

    service: what to call it in the message, as in "the image service". Our own errors pass.
    """
    try:
        yield
    except exception.TroveError:
        raise
    except Exception as error:
        if http_status(error) is None and not is_passing(error):
            raise
        LOG.warning("The %s service did not do what was asked: %s", service, error)
        raise exception.ServiceUnavailable(f"The {service} service of the cloud does not do it now.") from error


def is_missing(error):
    """Whether the cloud says that there is no such thing."""
    return http_status(error) == 404


def is_conflict(error):
    """Whether the cloud says that the thing is in use or busy now."""
    return http_status(error) in (400, 409) and (http_status(error) == 409 or "in use" in str(error).lower())


def is_passing(error):
    """Whether repeating the same request later may help: nobody answers, or the other side has a fault of its own."""
    import requests
    from keystoneauth1 import exceptions as keystone
    from sqlalchemy import exc

    from trove import rpc
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        status = http_status(error)
        if status is not None and status > 0:
            return status >= 500 or status in _PASSING
        if isinstance(error, (keystone.ConnectionError, requests.ConnectionError, requests.Timeout, exc.DBAPIError,
                              rpc.DeliveryFailure, exception.ServiceUnavailable)):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
