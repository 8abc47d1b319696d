"""What every controller's ``main`` does first: configuration, refusal of placeholders, the infrastructure database."""
import sys
from pathlib import Path

from sqlalchemy import exc

from trove import rpc
from trove.common import cfg, tls
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.db import get_db_api


def read_configuration(config_file, argv=None, secrets=()):
    """Parse the command line with ``config_file`` (used if it exists) as default, and refuse placeholder secrets.

    secrets: options (``name`` or ``group.name``) that must be set; the password in transport_url and the files of TLS
    are checked as well.
    """
    default = [config_file] if Path(config_file).exists() else []
    cfg.parse_args(sys.argv[1:] if argv is None else argv, default_config_files=default)
    cfg.require_secret(*secrets)
    rpc.require_broker_password()
    if found := tls.problems():
        raise SystemExit("Cannot start: " + "; ".join(found) + ".")


def configure_database():
    """Connect the database layer and let every class of ``db_plugins`` map its tables.

    Raises SystemExit naming the option when a class cannot be loaded or the database does not answer.
    """
    try:
        plugins = [strategy.load(path, option="db_plugins")() for path in CONF.db_plugins]
        get_db_api().configure_db(CONF, *plugins)
    except ValueError as error:
        raise SystemExit(f"Cannot start: {error}") from error
    except exc.SQLAlchemyError as error:
        raise SystemExit("Cannot start: the database that [database] connection names does not answer: "
                         f"{getattr(error, 'orig', None) or error}") from error


def check_paths(*checks):
    """Resolve dotted paths that are used only later. checks: (path, class that it must extend or None, option).

    Raises SystemExit with a sentence for each that cannot be used.
    """
    found = []
    for path, base, option in checks:
        try:
            strategy.load(path, base=base, option=option)
        except ValueError as error:
            found.append(str(error))
    if found:
        raise SystemExit("Cannot start: " + "; ".join(found) + ".")


def factories(*names):
    """The checks, for ``check_paths``, of the options that name factories of clients."""
    return [(CONF[f"remote_{name}_client"], None, f"remote_{name}_client") for name in names]


def check_swift_user():
    """Check the options beside swift_user, if that is set. Raises SystemExit naming what is missing."""
    if not CONF.swift_user:
        return
    cfg.require_secret("swift_password")
    if not CONF.swift_project_name:
        raise SystemExit("Cannot start: set [DEFAULT] swift_project_name to the project of swift_user.")
