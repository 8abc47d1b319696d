"""The one door to configuration: ``CONF``, ``parse_args`` and the option list for sample files.

Values are read inside functions, never while a module is being imported: before ``parse_args`` they are only defaults.
"""
from oslo_config import cfg
from oslo_log import log as logging

from trove import version
from trove.common import exception, log
from trove.conf import api, backup, cloud, database, guest, services
from trove.conf.datastores import CARDS, PACKAGED

CONF = cfg.CONF

_AREAS = (api, cloud, services, guest)

# Values that documentation and samples use in place of a secret: a service must not start with one of them.
PLACEHOLDERS = frozenset(("", "changeme", "change_me", "secret", "password", "secret_key", "default_aes_cbc_key",
                          "module_aes_cbc_key", "guest"))

# Characters. Every guest holds values made from these keys, against which whoever is root there can try keys.
SHORTEST = {"operation_key": 32, "backup_encryption_key": 32}


_QUOTES = ('"', "'")


def _register():
    # oslopolicy-sample-generator has parsed its own command line by now, with the same object.
    CONF.clear()
    for area in (*_AREAS, backup, database):
        area.register_opts(CONF)
    for name, card in CARDS.items():
        CONF.register_opts(card.opts, group=name)
    logging.register_options(CONF)
    # The library warns of an ordinary thing each time that a consumer is closed; its errors are raised to us anyway.
    logging.set_defaults(default_log_levels=[*logging.get_default_log_levels(), "amqp=ERROR"])


def parse_args(argv, default_config_files=None, default_config_dirs=None):
    """Read the command line and the configuration files into ``CONF`` and set up logging.

    argv: arguments without the program's name. Raises SystemExit on a bad command line, as oslo.config does, and with
    a sentence on a file that is not there or cannot be read, and on list options whose items are in quotes.
    """
    try:
        CONF(argv, project="trove", version=version.version_string(), default_config_files=default_config_files,
             default_config_dirs=default_config_dirs)
        quoted = _quoted_lists()
    except cfg.Error as error:
        raise SystemExit(f"Cannot start: {error}") from error
    if quoted:
        raise SystemExit(f"Cannot start: write the items of {', '.join(quoted)} without quotes, separated by commas.")
    logging.setup(CONF, "trove")
    log.setup(CONF)


def _quoted_lists():
    """Return the list options, as ``[group] name``, of which an item begins or ends with a quote.

    oslo.config removes the outermost quotes of the line before it splits the line at commas: of ``"a","b"`` it makes
    the items ``a"`` and ``"b``, and of ``"a",b`` the items ``"a"`` and ``b``.
    """
    return [f"[{group or 'DEFAULT'}] {opt.name}"
            for group, opts in list_opts() for opt in opts if isinstance(opt, cfg.ListOpt)
            for items in [CONF[group][opt.dest] if group else CONF[opt.dest]]
            if any(item[:1] in _QUOTES or item[-1:] in _QUOTES for item in items or ())]


def require_secret(*options):
    """Refuse to go on when an option of the form ``name`` or ``group.name`` is unset, a placeholder or too short.

    A key that is set although it need not be (backup_encryption_key) is checked too; of an option with several keys,
    each is, and none may come twice. Raises SystemExit with a sentence that names the option.
    """
    for option in dict.fromkeys((*options, *(name for name in SHORTEST if CONF[name]))):
        group, _, name = option.rpartition(".")
        values = CONF[group][name] if group else CONF[name]
        values = values if isinstance(values, list) else [values]
        for position, value in enumerate(values or [None], 1):
            which = f" (line {position} of {len(values)})" if len(values) > 1 else ""
            if value is None or value.strip().lower() in PLACEHOLDERS:
                where = f"[{group}] {name}" if group else f"[DEFAULT] {name}"
                raise SystemExit(f"Cannot start: set {where} to a secret of your own "
                                 f"(it is {'not set' if not value else 'a placeholder'}){which}.")
            if len(value) < SHORTEST.get(option, 0):
                raise SystemExit(f"Cannot start: set [DEFAULT] {option} to at least {SHORTEST[option]} random "
                                 f"characters (it has {len(value)}){which}.")
            if values.index(value) != position - 1:
                raise SystemExit(f"Cannot start: remove the key of [DEFAULT] {option} that is there twice{which}; "
                                 "the keys of all configuration files are read together.")


def datastore_options(manager):
    """The options of a datastore's group. Raises NotImplementedHere for a manager that this version does not know."""
    return CONF[_card(manager).GROUP]


def traits(manager):
    """Return the Traits of a datastore. Raises NotImplementedHere for a manager that this version does not know."""
    return _card(manager).TRAITS


def client_port(manager):
    """Return the TCP port at which clients and replicas of a datastore connect.

    Raises NotImplementedHere for a manager that this version does not know.
    """
    card = _card(manager)
    option = card.TRAITS.port_option
    return CONF[card.GROUP][option] if option else card.TRAITS.client_port


def _card(manager):
    if manager not in CARDS:
        raise exception.NotImplementedHere(f"The datastore manager '{manager}' is not known here.")
    return CARDS[manager]


# Options of trove.conf.services that the agent in a guest reads as well.
_GUEST_TOO = ("host", "region", "conductor_queue", "report_interval", "message_max_age",
              "bus_message_max_size", "bus_prefetch", "bus_reply_timeout", "bus_clock_allowance")


def _grouped(opts, *more):
    return [(None, list(opts)), *more, *((name, card.opts) for name, card in PACKAGED.items())]


def list_opts():
    """Every option of this package with its group, for oslo-config-generator (entry point ``oslo.config.opts``)."""
    return _grouped((*(opt for area in _AREAS for opt in area.opts), *backup.control_opts, *backup.guest_opts),
                    ("database", database.opts),
                    ("upgrade_levels", services.upgrade_opts), ("guest_bus", services.guest_bus_opts),
                    ("tls", services.tls_opts))


def list_control_opts():
    """Those of the control plane's services, for their sample file."""
    return _grouped((*api.opts, *cloud.opts, *services.opts, *backup.control_opts), ("database", database.opts),
                    ("upgrade_levels", services.upgrade_opts), ("guest_bus", services.guest_bus_opts),
                    ("tls", services.tls_opts))


def list_guest_opts():
    """Those that the agent in a guest reads, for the sample of the file that is put into guests."""
    shared = (opt for opt in services.opts if opt.name in _GUEST_TOO)
    return _grouped((*guest.opts, *backup.guest_opts, *shared), ("upgrade_levels", services.upgrade_opts),
                    ("guest_bus", [opt for opt in services.guest_bus_opts if opt.name == "credentials"]))


_register()
