"""Profiling with osprofiler: set up from [profiler] at the start of a service, and a filter of the API.

Costs nothing while [profiler] enabled is false: the filter is then left out of the pipeline.
"""
from osprofiler import (
    initializer,
    opts,  # noqa: F401 - registers [profiler]
    web,
)

from trove.common import cfg
from trove.common.cfg import CONF


def setup(service, host):
    """Begin to collect traces of this process if the operator wants them.

    service: name of the process, for example "api"; host: where it runs.
    Raises SystemExit when [profiler] hmac_keys is not set or a placeholder: whoever knows it can start traces.
    """
    if CONF.profiler.enabled:
        cfg.require_secret("profiler.hmac_keys")
        initializer.init_from_conf(CONF, context={}, project="trove", service=service, host=host)


def filter_factory(_global_conf, **_local_conf):
    """Paste filter factory: traces requests that carry a signed trace header."""
    if not CONF.profiler.enabled:
        return lambda app: app
    return lambda app: web.WsgiMiddleware(app, hmac_keys=CONF.profiler.hmac_keys, enabled=True)
