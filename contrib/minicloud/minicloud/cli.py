"""The command `minicloud`: up, down, status, doctor, env, exec, image. Parses, calls one function, prints."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from minicloud import config as configuration
from minicloud import doctor, image, janitor, services
from minicloud.config import Config, ConfigError
from minicloud.host import network, process
from minicloud.host.client import HostClient, HostError

_NOT_RUNNING = 3  # exit status of `status` when a service is missing, as init scripts use it


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status (1: it failed, with one message on stderr)."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ConfigError, HostError, services.ServiceError, image.ImageError, OSError) as error:
        print(f"minicloud: {getattr(error, 'message', None) or error}", file=sys.stderr)
        return 1


def up(arguments: argparse.Namespace) -> int:
    """Start what is missing of the cloud in --state, making it at the first time."""
    arguments.state.mkdir(parents=True, exist_ok=True)
    with services.exclusive(arguments.state):
        try:
            config = _settle(arguments)
            if config.driver == "host":
                if os.geteuid() != 0:
                    raise ConfigError("driver: real guests need root; run as root, or use --driver fake")
                network.check_free(config)
        except (ConfigError, HostError):
            with suppress(OSError):  # leave no empty directory behind a refusal
                arguments.state.rmdir()
            raise
        config.state_dir.chmod(0o700)  # volumes and objects are nobody else's to read
        config.save()
        configuration.ensure_secrets(config)
        started = services.ensure(config)
    print(f"{config.base_url} is up" + (f" (started: {', '.join(started)})" if started else " (nothing to do)"))
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Remove the cloud and all it holds: guests, volumes, images, state."""
    state_dir = arguments.state.resolve()
    prefix = arguments.prefix
    if not prefix:
        try:
            config = configuration.load(state_dir)
        except ConfigError as error:
            print(f"nothing to remove ({error}); --prefix P removes a cloud whose state directory is lost")
            return 0
        # A state directory whose `up` was refused because the prefix is another cloud's must not remove that one.
        ours = network.owner(config.prefix) in ("", str(config.state_dir)[:255])
        prefix = config.prefix if config.driver == "host" and ours else None
    with services.exclusive(state_dir) if state_dir.is_dir() else nullcontext():
        if prefix:
            janitor.remove_kernel_objects(prefix)
        if (state_dir / configuration.CONFIG_FILE).exists():
            janitor.remove_state(state_dir)
    print("removed")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show services, guests and volumes."""
    config = configuration.load(arguments.state)
    running = {}
    for name in services.names(config):
        found = services.identity(config.state_dir, name)
        running[name] = found["pid"] if process.alive(found) else None
    report = {"state_dir": str(config.state_dir), "prefix": config.prefix, "url": config.base_url, "services": running}
    if running.get("host"):
        host = HostClient(config)
        report |= {"guests": host.list_guests(), "volumes": host.list_volumes()}
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        print(f"{report['url']} (prefix {config.prefix}, {report['state_dir']})")
        for name, pid in running.items():
            print(f"  service {name}: {f'pid {pid}' if pid else 'not running, see `minicloud up`'}")
        for guest in report.get("guests", ()):
            print(f"  guest {guest['guest_id']} {guest['address']} {guest['state']}")
        for volume in report.get("volumes", ()):
            print(f"  volume {volume['volume_id']} {volume['size_gb']} GB {volume['guest_id'] or 'detached'}")
    return 0 if all(running.values()) else _NOT_RUNNING


def examine(arguments: argparse.Namespace) -> int:
    """Check whether this machine can run a cloud with real guests."""
    try:
        config = configuration.load(arguments.state)
    except ConfigError:
        config = Config(arguments.state)
    findings = doctor.examine(config)
    if arguments.json:
        print(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{finding.level:<8}{finding.check}: {finding.detail}")
            if finding.advice:
                print(f"        -> {finding.advice}")
    return 1 if any(finding.level == doctor.ERROR for finding in findings) else 0


def env(arguments: argparse.Namespace) -> int:
    """Print shell lines with which OpenStack clients find the cloud."""
    config = configuration.load(arguments.state)
    if arguments.password_file:
        password = arguments.password_file.read_text().rstrip("\n")
    elif arguments.user == "admin":
        password = configuration.load_secrets(config)["admin_password"]
    else:
        raise ConfigError(f"password-file: needed for user {arguments.user!r}; only admin's password is kept here")
    variables = {
        "OS_AUTH_URL": f"{config.base_url}/identity/v3",
        "OS_USERNAME": arguments.user,
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": arguments.project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": "RegionOne",
    }
    if arguments.json:
        print(json.dumps(variables, indent=1))
    else:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    return 0


def execute(arguments: argparse.Namespace) -> int:
    """Run a command inside a guest, with the guest's limits."""
    host = HostClient(configuration.load(arguments.state))
    result = host.exec_guest(arguments.guest, arguments.argv, timeout=arguments.timeout)
    sys.stdout.write(result["stdout"])
    sys.stderr.write(result["stderr"])
    return result["rc"]


def build_image(arguments: argparse.Namespace) -> int:
    """Build a guest image from Debian packages."""
    recipe = image.Recipe(
        arguments.suite,
        tuple(arguments.package),
        tuple(arguments.disable),
        tuple(arguments.mask),
        tuple(arguments.customize),
    )
    return _show_manifest(image.build(recipe, arguments.out), arguments)


def pack_layer(arguments: argparse.Namespace) -> int:
    """Pack a directory as an image layer."""
    return _show_manifest(image.layer(arguments.dir, arguments.out), arguments)


def _settle(arguments: argparse.Namespace) -> Config:
    """Return the saved configuration, or a new one from the options. Options that contradict the saved are refused."""
    options = {
        name: value
        for name in ("prefix", "subnet", "port", "driver")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.guest_port:
        options["guest_ports"] = tuple(arguments.guest_port)
    if not (arguments.state / configuration.CONFIG_FILE).exists():
        if any(arguments.state.iterdir()):
            raise ConfigError(f"state: {arguments.state} holds other files; give an empty or a new directory")
        return Config(arguments.state, **options)
    config = configuration.load(arguments.state)
    for name, value in options.items():
        if getattr(config, name) != value:
            raise ConfigError(
                f"{name}: the cloud in {config.state_dir} has {getattr(config, name)!r}, not {value!r}; "
                "run `minicloud down` first to change it"
            )
    return config


def _show_manifest(manifest: dict, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(manifest, indent=1, sort_keys=True))
    else:
        print(f"{arguments.out}: {manifest['size'] >> 20} MB, sha256 {manifest['sha256']}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minicloud", description="An OpenStack-compatible cloud on one machine.")
    common = argparse.ArgumentParser(add_help=False)
    default_state = Path(os.environ.get("MINICLOUD_STATE") or ".minicloud")
    common.add_argument("--state", type=Path, default=default_state, help="state directory (default: %(default)s)")
    common.add_argument("--json", action="store_true", help="print JSON where there is something to print")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run, parents=(common,), into=commands) -> argparse.ArgumentParser:
        command = into.add_parser(name, help=run.__doc__, description=run.__doc__, parents=list(parents))
        command.set_defaults(run=run)
        return command

    command = add("up", up)
    command.add_argument("--prefix", help="first part of the names of all kernel objects (default: mc)")
    command.add_argument("--subnet", help="network of the guests (default: 10.77.0.0/16)")
    command.add_argument("--port", type=int, help="first of the services' six ports on the gateway (default: 8770)")
    command.add_argument(
        "--guest-port",
        type=int,
        action="append",
        default=[],
        help="further TCP port of the gateway that guests may reach; may be repeated",
    )
    command.add_argument("--driver", choices=configuration.DRIVERS, help="real guests, or guests in memory only")
    add("down", down).add_argument("--prefix", help="remove the kernel objects of this prefix, with or without state")
    add("status", status)
    add("doctor", examine)
    command = add("env", env)
    command.add_argument("--user", default="admin")
    command.add_argument("--project", default="admin")
    command.add_argument("--password-file", type=Path, help="file with the user's password (not needed for admin)")
    command = add("exec", execute)
    command.add_argument("--timeout", type=int, default=60, help="seconds (default: %(default)s)")
    command.add_argument("guest", help="guest id")
    command.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND...")

    images = commands.add_parser("image", help="Make guest images.").add_subparsers(required=True, metavar="COMMAND")
    out = argparse.ArgumentParser(add_help=False)
    out.add_argument("--out", type=Path, required=True, help="squashfs file to write; its manifest goes beside it")
    out.add_argument("--json", action="store_true", help="print the manifest")
    command = add("build", build_image, (out,), images)
    command.add_argument("--suite", default="bookworm", help="Debian suite (default: %(default)s)")
    for name, text in (
        ("package", "Debian package to add"),
        ("disable", "systemd unit that must not start at boot"),
        ("mask", "systemd unit that must not be startable"),
    ):
        command.add_argument(f"--{name}", action="append", default=[], help=f"{text}; may be repeated")
    command.add_argument(
        "--customize", type=Path, action="append", default=[], help="directory tree to copy over the image"
    )
    add("layer", pack_layer, (out,), images).add_argument("--dir", type=Path, required=True, help="tree to pack")
    return parser


if __name__ == "__main__":
    sys.exit(main())
