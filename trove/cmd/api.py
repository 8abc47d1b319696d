"""trove-api: serves the paste pipeline (``serving``: processes of threads); also a factory for other WSGI servers.

The pipeline is built once, before the workers are forked from it, so that a mistake in it stops the start and the
memory is shared. Nothing that a fork would break (connections, threads) exists by then.
"""
import gc
from pathlib import Path
from urllib.parse import quote

from paste import deploy

from trove.cmd import common, serving
from trove.common import auth, cfg, profile
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.extensions.common.service import DefaultRootController
from trove.quota import quota
from trove.security_event import store as security_events

SECRETS = ("operation_key", "nova_proxy_admin_pass")


def build_application():
    """The WSGI application of the paste file, from the options as they are.

    Raises SystemExit with a sentence for a paste file that is not there, for a placeholder secret and for an option
    that names a class that cannot be used, ValueError for a pipeline that cannot work.
    """
    common.check_paths(
        (CONF.quota_driver, quota.QuotaDriver, "quota_driver"), *common.factories("nova", "guest"),
        *((CONF[name].root_controller, DefaultRootController, f"[{name}] root_controller")
          for name in cfg.CARDS if CONF[name].root_controller))
    common.check_cards()
    common.check_swift_user()
    common.configure_database()
    path = CONF.find_file(CONF.api_paste_config)
    if path is None:
        raise SystemExit(f"Cannot start: [DEFAULT] api_paste_config is {CONF.api_paste_config}; there is no such file "
                         "next to the configuration file or in /etc/trove.")
    path = str(Path(path).resolve())
    if "%" in path:
        raise SystemExit(f"Cannot start: [DEFAULT] api_paste_config is {path}; paste.deploy reads no file whose path "
                         "has a percent sign. Put it elsewhere.")
    auth.prepare_token_options()
    application = deploy.loadapp(f"config:{quote(path)}", name="trove")  # in a URL a "#" would end the path
    # The token filter has registered the options of its service user by now, if the file names that filter.
    if "keystone_authtoken" in CONF and "password" in CONF.keystone_authtoken:
        cfg.require_secret("keystone_authtoken.password")
    return application


def init_application(config_file=common.SHARED_FILE):
    """The application for another WSGI server, which calls this once in each of its processes.

    config_file: path of the only configuration file that is read. Raises as ``build_application`` does.
    """
    common.read_configuration(config_file, argv=[], secrets=SECRETS)
    profile.setup("api", CONF.host)
    security_events.start()
    return build_application()


def _begin():
    """Set up a process that was forked off."""
    profile.setup("api", CONF.host)
    security_events.start()


def main():
    """Entry point of the console script."""
    common.read_configuration(common.SHARED_FILE, secrets=SECRETS)
    try:
        application = build_application()
    except ValueError as error:
        raise SystemExit(f"Cannot start: {error}.") from error
    listener = serving.bind()
    get_db_api().dispose()
    # What the pipeline consists of lives as long as the process: the collector need not walk through it while requests
    # wait (some 40 ms each time), nor copy its pages into each worker.
    gc.collect()
    gc.freeze()
    serving.serve(listener, application, _begin, security_events.stop)
