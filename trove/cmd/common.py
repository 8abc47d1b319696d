"""What every controller's ``main`` does first: configuration, refusal of placeholders, the infrastructure database."""
import signal
import sys
import threading
from pathlib import Path

from sqlalchemy import exc

from trove import rpc
from trove.common import cfg, tls
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.db import get_db_api
from trove.guestagent import api
from trove.guestagent.db.base import Names

# Read by every process of the control plane, before the file of its own.
SHARED_FILE = "/etc/trove/trove.conf"


class Ending:
    """The end of a process: SIGTERM or SIGINT, caught from now on."""

    def __init__(self):
        self._asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked.set())

    def wait(self):
        """Return when the process is to end, which may take a while."""
        self._asked.wait()
        show_stopping()


def show_stopping():
    """Let ``ps`` show this process as "stopping": whoever looks does not take it for one that serves."""
    Path("/proc/self/comm").write_text("stopping", encoding="ascii")


def existing(*paths):
    """Return those of the paths that exist, as strings in the given order."""
    return [str(path) for path in paths if Path(path).exists()]


def read_configuration(*config_files, argv=None, secrets=()):
    """Parse the command line and the configuration files, and refuse placeholder secrets.

    config_files: paths that are read in this order when the command line names no ``--config-file``; a later file
    overrides an earlier one, and a missing file is skipped. argv: arguments without the program's name; None means
    those of this process. secrets: options (``name`` or ``group.name``) that must be set; the password in
    transport_url and the files of TLS are checked as well. Raises SystemExit with a sentence that names the option.
    """
    cfg.parse_args(sys.argv[1:] if argv is None else argv, default_config_files=existing(*config_files))
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


def check_cards():
    """Check that every module of this package exists that the card or the options of a datastore name.

    Modules of the operator's own may be in images alone. The classes are a guest's, and its agent checks them, but for
    the rules for databases and users and the client, which these services use. Raises SystemExit with a sentence for
    each that is missing.
    """
    found = []
    for name, card in cfg.CARDS.items():
        options = CONF[name]
        paths = {"manager (in its card)": card.TRAITS.manager.rpartition(".")[0]}
        if options.backup_strategy:
            paths |= {option: options[option] for option in ("backup_namespace", "restore_namespace")}
        if options.replication_strategy:
            paths["replication_namespace"] = options.replication_namespace
        if options.archive_strategy:
            paths["archive_namespace"] = options.archive_namespace
        for part, kind in (("models", Names), ("client", api.API)):
            try:
                strategy.load(getattr(card.TRAITS, part), kind, f"[{name}] {part} (in its card)")
            except ValueError as error:
                found.append(str(error))
        for option, path in paths.items():
            if path and not path.startswith("trove."):
                continue
            try:
                strategy.require_module(path, f"[{name}] {option}")
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
