"""trove-manage: the schema of the infrastructure database, the datastores that it offers, running operations,
certificates, the secrets of guests, and security events.

Exit code 0: done; 1: refused or failed, with one line on standard error that says why; 2: wrong arguments.
"""
import collections
import datetime
import json
import sys
from pathlib import Path

from oslo_config import cfg as oslo_cfg
from oslo_log import log as logging
from sqlalchemy import exc

from trove.cmd import common
from trove.common import cfg, crypto, exception, pki, security, tls
from trove.common.cfg import CARDS, CONF
from trove.common.traits import Maturity
from trove.datastore import registration
from trove.db import get_db_api, in_transaction, keys
from trove.instance import rotation
from trove.operation import models as operations
from trove.operation import views as operation_views
from trove.security_event import models as security_event_models
from trove.taskmanager import bus_audit

LOG = logging.getLogger(__name__)


def db_sync(command):
    """Make the schema, or bring it to the newest version. May be repeated."""
    get_db_api().db_sync(repo_path=command.repo_path)


def db_upgrade(command):
    """Bring the schema up to a version, by default the newest."""
    get_db_api().db_sync(version=command.version, repo_path=command.repo_path)


def db_downgrade(command):
    """Take the schema back to a version; what newer versions added is lost (deprecated)."""
    get_db_api().db_downgrade(command.version, repo_path=command.repo_path)


def db_recreate(command):
    """Drop all tables with everything in them and make them again."""
    get_db_api().db_recreate(repo_path=command.repo_path)


def datastore_update(command):
    """Make a datastore, or change its default version."""
    in_transaction(registration.update_datastore)(command.datastore_name, command.default_version)
    print(f"Datastore '{command.datastore_name}' updated.")


def datastore_version_update(command):
    """Make or change a version of a datastore."""
    in_transaction(registration.update_version)(
        command.datastore, command.version_name, command.manager, command.image_id, command.packages,
        command.active == "1")
    print(f"Datastore version '{command.version_name}' updated.")
    known = set(CARDS) | set(CONF.datastore_registry_ext)
    if command.manager in CARDS:
        maturity = CARDS[command.manager].TRAITS.maturity
        if maturity != Maturity.STABLE:
            print(f"trove-manage: warning: the manager '{command.manager}' is {maturity.value}: {maturity.meaning}",
                  file=sys.stderr)
    if command.manager not in known:
        print(f"trove-manage: warning: this release knows no manager '{command.manager}' "
              f"(it knows {', '.join(sorted(known))})", file=sys.stderr)


def db_load_datastore_config_parameters(command):
    """Make or update the configuration parameters of a version from a validation-rules.json."""
    try:
        rules = json.loads(Path(command.config_file_location).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{command.config_file_location} is not a JSON file: {error}") from error
    number = in_transaction(registration.load_parameters)(command.datastore, command.datastore_version, rules)
    print(f"{number} configuration parameters loaded.")


def datastore_version_flavor_add(command):
    """Restrict a version to flavors, besides those it is restricted to already."""
    flavors = [flavor.strip() for flavor in command.flavor_ids.split(",") if flavor.strip()]
    in_transaction(registration.add_flavors)(command.datastore, command.datastore_version, flavors)
    print(f"Added the flavors {', '.join(flavors)} to version '{command.datastore_version}'.")


def datastore_version_flavor_delete(command):
    """Take a flavor off those that a version is restricted to."""
    in_transaction(registration.delete_flavor)(command.datastore, command.datastore_version, command.flavor_id)
    print(f"Deleted the flavor {command.flavor_id} from version '{command.datastore_version}'.")


def operation_list(command):
    """List operations, the newest first: those that have not ended, or all of one resource."""
    resource = ("instance", command.instance) if command.instance else None
    with get_db_api().reader() as session:
        page, _ = operations.load_page(session, command.limit, resource=resource,
                                       states=None if resource or command.all else operations.LIVE_STATES)
        now = get_db_api().now(session)
    print(f"{'ID':<36}  {'KIND':<24}  {'RESOURCE':<36}  {'STATE':<8}  {'STEP':<20}  SECONDS")
    for operation in page:
        view = operation_views.whole(operation, now)
        print(f"{operation.id}  {operation.kind:<24}  {operation.resource_id:<36}  {operation.state:<8}  "
              f"{operation.step or '-':<20}  {view['seconds']:.1f}")


def operation_show(command):
    """Show one operation with its finished steps, its owner and its error."""
    with get_db_api().reader() as session:
        operation = operations.load(session, command.operation_id)
        view = operation_views.whole(operation, get_db_api().now(session))
    view.update(resource=f"{operation.resource_type} {operation.resource_id}", owner=operation.owner,
                attempts=operation.attempts, cancelled=operation.cancel)
    print(json.dumps(view, indent=2))


def ca_create(command):
    """Make a CA for the deployment: its certificate and its key (0600). Nothing that exists is replaced."""
    for path in (command.certificate_file, command.key_file):
        if Path(path).exists():
            raise ValueError(f"{path} exists already")
    certificate, key = pki.make_authority(command.common_name, command.days)
    pki.write_new(command.key_file, key, 0o600)
    pki.write_new(command.certificate_file, certificate, 0o644)
    print(f"CA certificate {command.certificate_file}, its key {command.key_file}.")


def certificate_create(command):
    """Make a key and a certificate signed by [tls] ca_file, for the broker or a service, in one new file (0600)."""
    if not (CONF.tls.ca_file and CONF.tls.ca_key_file):
        raise ValueError("set [tls] ca_file and ca_key_file in the configuration")
    until = pki.after(command.days)
    usages = (pki.SERVER, pki.CLIENT) if command.address else (pki.CLIENT,)
    pki.write_new(command.file, tls.authority().issue(command.common_name, until, usages, command.address), 0o600)
    print(f"Key and certificate of {command.common_name}: {command.file}.")


def guest_rotate(command):
    """Begin to replace the secrets of guests (key, broker account, certificate); a task manager does it."""
    begun = failed = 0
    for instance_id in [command.instance] if command.instance else rotation.live_ids():
        try:
            print(f"{instance_id}: operation {rotation.begin(instance_id)} has begun")
            begun += 1
        except exception.TroveError as error:
            if command.instance:
                raise
            print(f"{instance_id}: {error}", file=sys.stderr)
            failed += 1
    if failed:
        raise ValueError(f"{failed} of {begun + failed} guests cannot be given new secrets now")


def guest_bus_audit(command):
    """Set right the broker accounts of all guests, and list what at the broker belongs to no guest."""
    number, foreign = bus_audit.audit(remove=command.remove)
    print(f"{number} accounts set right.")
    for sentence in foreign:
        print(f"{sentence}{' and was removed' if command.remove else ''}.")


def security_events(command):
    """List the security events of the last hours, the newest first."""
    with get_db_api().reader() as session:
        found = security_event_models.newest(session, command.hours * 3600, CONF.security_event_rows)
    if command.json:
        print(json.dumps(found, indent=1))
        return
    for event in found:
        first, last = (datetime.datetime.fromtimestamp(event[name], datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                       for name in ("first", "last"))
        print(f"{first} {last} {event['count']} {event['name']} instance={event['instance_id'] or '-'} "
              f"account={event['account'] or '-'} {security.escaped(event['reason'])}")
    totals = collections.Counter()
    for event in found:
        totals[event["name"]] += event["count"]
    for name, number in sorted(totals.items()):
        print(f"{number} {name}: {security.KINDS.get(name, 'of another release')}")
    if not found:
        print("There were no security events.")


def rekey(_command):
    """Encrypt stored secrets with the first operation_key, and say which older keys are still needed."""
    cfg.require_secret("operation_key")
    failed = 0
    for name, progress in keys.rekey().items():
        print(f"{name}: {progress.changed} encrypted anew"
              + (f", {progress.failed} cannot be decrypted with any operation_key" if progress.failed else ""))
        failed += progress.failed
    keys.name_oldest()
    for option, names, unit, used in zip(
            ("operation_key", "backup_encryption_key"), (crypto.operation_key_ids(), crypto.backup_key_ids()),
            ("guests", "backups"), keys.uses(), strict=True):
        for position, name in enumerate(names):
            number = used.pop(name, 0)
            verdict = "the first" if position == 0 else "needed" if number else "not needed any more"
            print(f"{option} {name}: {number} {unit}, {verdict}")
        lost = sum(number for name, number in used.items() if name is not None)
        if lost:
            print(f"{option}: {lost} {unit} need a key that is not there")
    if failed:
        raise ValueError(f"{failed} secrets are left as they are: put the operation_key back that encrypted them.")


def _hours(text):
    """Read a number of hours above 0, as argparse wants it."""
    hours = float(text)
    if not 0 < hours < 10 ** 6:
        raise ValueError
    return hours


_REPO = ("--repo_path", {"help": "The migrate repository of a database plug-in instead of Trove's own."})
_DATASTORE = ("datastore", {"help": "Name or id of the datastore."})
_VERSION = ("datastore_version", {"help": "Name or id of the version."})
# Command -> its arguments as argparse takes them.
COMMANDS = {
    db_sync: [_REPO],
    db_upgrade: [("--version", {"type": int, "help": "Number of the version."}), _REPO],
    db_downgrade: [("version", {"type": int, "help": "Number of the version."}), _REPO],
    db_recreate: [_REPO],
    datastore_update: [
        ("datastore_name", {"help": "Name of the datastore."}),
        ("default_version", {"help": "Name or id of its default version; '' leaves it as it is (a new datastore has "
                                     "no versions yet)."})],
    datastore_version_update: [
        _DATASTORE, ("version_name", {"help": "Name of the version."}),
        ("manager", {"help": "Manager of the guest, which is also the name of its group of options."}),
        ("image_id", {"help": "Id of the image of its guests."}),
        ("packages", {"help": "Packages to install in the guest, separated by commas; may be ''."}),
        ("active", {"choices": ["0", "1"], "help": "Whether instances of it can be made."})],
    db_load_datastore_config_parameters: [
        _DATASTORE, _VERSION, ("config_file_location", {"help": "Path of the validation-rules.json."})],
    operation_list: [
        ("--instance", {"help": "Id of an instance: its operations, also those that have ended."}),
        ("--all", {"action": "store_true", "help": "Also those that have ended."}),
        ("--limit", {"type": int, "default": 100, "help": "How many at most (100)."})],
    operation_show: [("operation_id", {"help": "Id of the operation."})],
    datastore_version_flavor_add: [
        _DATASTORE, _VERSION, ("flavor_ids", {"help": "Ids of flavors, separated by commas."})],
    guest_bus_audit: [("--remove", {"action": "store_true", "help": "Remove what belongs to no guest."})],
    datastore_version_flavor_delete: [_DATASTORE, _VERSION, ("flavor_id", {"help": "Id of the flavor."})],
    ca_create: [
        ("certificate_file", {"help": "New file for the certificate (PEM)."}),
        ("key_file", {"help": "New file for the key (PEM, 0600)."}),
        ("--common-name", {"default": "Trove deployment CA", "help": "Common name of the CA."}),
        ("--days", {"type": int, "default": 3650, "help": "Days for which it is valid."})],
    certificate_create: [
        ("file", {"help": "New file for key and certificate (PEM, 0600)."}),
        ("common_name", {"help": "Common name, for example trove-services."}),
        ("--address", {"action": "append", "default": [],
                       "help": "Host name or IP address that it is for, if it is a server's; may be repeated."}),
        ("--days", {"type": int, "default": 365, "help": "Days for which it is valid."})],
    rekey: [],
    security_events: [
        ("--hours", {"type": _hours, "default": 1.0, "help": "How many hours to look back; default 1."}),
        ("--json", {"action": "store_true",
                    "help": "Print a JSON list of {name, reason, instance_id, account, count, first, last}, times in "
                            "seconds since the epoch."})],
}


def _add_rotation(subparsers):
    parser = subparsers.add_parser(guest_rotate.__name__, help=guest_rotate.__doc__, description=guest_rotate.__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--instance", metavar="ID", help="The guest of this instance.")
    which.add_argument("--all", action="store_true", help="The guests of all instances.")
    parser.set_defaults(function=guest_rotate)


def _add_parsers(subparsers):
    _add_rotation(subparsers)
    for function, arguments in COMMANDS.items():
        parser = subparsers.add_parser(function.__name__, help=function.__doc__, description=function.__doc__)
        for name, settings in arguments:
            parser.add_argument(name, **settings)
        parser.set_defaults(function=function)


COMMAND_OPT = oslo_cfg.SubCommandOpt("command", title="Commands", help="What to do; COMMAND --help tells more.",
                                     handler=_add_parsers)


def main(argv=None):
    """Run one command; argv: arguments without the program's name. Ends by SystemExit unless all went well."""
    CONF.register_cli_opt(COMMAND_OPT)
    cfg.parse_args(sys.argv[1:] if argv is None else argv, default_config_files=common.existing(common.SHARED_FILE))
    try:
        CONF.command.function(CONF.command)
    except Exception as error:  # noqa: BLE001 - the boundary to the shell
        LOG.debug("The command failed", exc_info=True)
        text = error.orig if isinstance(error, exc.DBAPIError) else error
        line = security.escaped(" ".join(str(text).split()))
        print(f"trove-manage: {line or type(error).__name__}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
