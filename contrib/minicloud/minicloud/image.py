"""Building guest images: a Debian tree by mmdebstrap, packed as one zstd squashfs with a manifest beside it.

Called by `minicloud image`. Mirror and keys come from the apt configuration of this machine. Knows nothing of a
running cloud: the result is a file that is then uploaded like any other image.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# What every guest needs: an init, a Python, and the tools with which volumes are formatted and mounted.
BASE_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "iproute2",
    "procps",
    "mount",
    "util-linux",
    "e2fsprogs",
    "ca-certificates",
    "sudo",
    "openssl",
    "pigz",
    "zstd",
)
ROLLING_SUITES = ("sid", "unstable")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BUILD_TIMEOUT = 3600  # seconds; one minute is usual, a slow mirror may need much more


class ImageError(Exception):
    """The image cannot be built; the message says which step failed and why."""


@dataclass(frozen=True)
class Recipe:
    """What goes into an image.

    suite      Debian suite, e.g. "bookworm" or "sid"
    packages   added to BASE_PACKAGES
    disabled   systemd units that packages enable and that must not start at boot
    masked     systemd units that must not be startable at all
    customize  directory trees copied over the image at the end, in this order
    """

    suite: str
    packages: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    customize: tuple[Path, ...] = field(default=())


def build(recipe: Recipe, out: Path) -> dict:
    """Build `recipe` into the squashfs file `out`; return the manifest, also written to `out`.manifest.json.

    Needs root, mmdebstrap, squashfs-tools and a reachable mirror. Raises ImageError.
    """
    for tree in recipe.customize:
        if not tree.is_dir():
            raise ImageError(f"customize: {tree} is not a directory")
    sources = apt_sources(recipe.suite, _host_repositories())
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".minicloud-image-", dir=out.parent) as work:
        root = Path(work) / "root"
        _run(_mmdebstrap(recipe, root), stdin="\n".join(sources) + "\n")
        versions = _run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Package} ${Version}\n"])
        clean(root)
        for unit in recipe.disabled:
            disable_unit(root, unit)
        for unit in recipe.masked:
            mask_unit(root, unit)
        for tree in recipe.customize:
            _copy_tree(tree, root)
        manifest = {
            "suite": recipe.suite,
            "packages": dict(line.split(" ", 1) for line in versions.splitlines()),
        }
        return _finish(root, out, manifest)


def layer(tree: Path, out: Path) -> dict:
    """Pack the directory `tree`, owned by root in the result, as a squashfs layer; return its manifest."""
    if not tree.is_dir():
        raise ImageError(f"dir: {tree} is not a directory")
    out.parent.mkdir(parents=True, exist_ok=True)
    return _finish(tree, out, {}, extra=("-all-root",))


def apt_sources(suite: str, repositories: Iterable[tuple[str, str]]) -> list[str]:
    """Derive the source lines for `suite` from this machine's (uri, release) pairs.

    Same mirrors, other suite; updates and security follow when this machine has them and the suite is no rolling one.
    Raises ImageError when the machine has no Debian mirror configured.
    """
    by_kind: dict[str, str] = {}
    for uri, release in repositories:
        kind = next((kind for kind in ("updates", "security") if release.endswith(f"-{kind}")), "main")
        if kind != "main" or "debian" in uri:
            by_kind.setdefault(kind, uri)
    if "main" not in by_kind:
        raise ImageError("suite: no Debian mirror in this machine's apt configuration")
    kinds = ["main"] if suite in ROLLING_SUITES else [k for k in ("main", "updates", "security") if k in by_kind]
    return [
        f"deb [signed-by={KEYRING}] {by_kind[kind]} {suite if kind == 'main' else f'{suite}-{kind}'} main"
        for kind in kinds
    ]


def clean(root: Path) -> None:
    """Remove from a tree what belongs to the machine that built it, and what differs from guest to guest."""
    _write(root / "etc/hostname", "localhost\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    _write(root / "etc/resolv.conf", "")
    _write(root / "etc/machine-id", "")
    _write(root / "etc/fstab", "")
    _write(root / "etc/apt/sources.list", "")
    for directory in (
        "etc/apt/sources.list.d",
        "var/lib/apt/lists",
        "var/cache/apt",
        "var/log",
        "tmp",
        "run",
    ):
        _empty(root / directory, keep_directories=directory == "var/log")
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    # Without a resolver each lookup would stall for seconds: names come from /etc/hosts only.
    nsswitch = root / "etc/nsswitch.conf"
    lines = nsswitch.read_text().splitlines() if nsswitch.exists() else []
    _write(
        nsswitch,
        "\n".join([*(line for line in lines if not line.startswith("hosts:")), "hosts: files"]) + "\n",
    )


def disable_unit(root: Path, unit: str) -> None:
    """Remove the links that start `unit` at boot (what `systemctl disable` does)."""
    name = unit if "." in unit else f"{unit}.service"
    # glob() and exists() would look for the links' targets on this machine instead of in the image.
    for directory in (root / "etc/systemd/system").glob("*.*/"):
        if (directory / name).is_symlink():
            (directory / name).unlink()


def mask_unit(root: Path, unit: str) -> None:
    """Make `unit` impossible to start (what `systemctl mask` does)."""
    link = root / "etc/systemd/system" / (unit if "." in unit else f"{unit}.service")
    disable_unit(root, unit)
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/dev/null")


def _mmdebstrap(recipe: Recipe, root: Path) -> list[str]:
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        "--format=directory",
        "--quiet",
        "--include=" + ",".join(dict.fromkeys((*BASE_PACKAGES, *recipe.packages))),
        "--aptopt=Apt::Install-Recommends false",
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    ]
    if recipe.suite in ROLLING_SUITES:
        command.append("--aptopt=Acquire::Check-Valid-Until false")  # mirrors of rolling suites may lag behind
    return [*command, recipe.suite, str(root), "-"]


def _host_repositories() -> list[tuple[str, str]]:
    text = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"])
    return [(uri, release) for uri, release in (line.split(" ", 1) for line in text.splitlines() if " " in line)]


def _finish(root: Path, out: Path, manifest: dict, extra: tuple[str, ...] = ()) -> dict:
    """Pack `root`; the image and its manifest appear under their names only when complete."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        _run(
            [
                "mksquashfs",
                str(root),
                str(partial),
                "-comp",
                "zstd",
                "-Xcompression-level",
                "3",
                "-noappend",
                "-no-progress",
                "-quiet",
                *extra,
            ]
        )
        with partial.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        manifest = {**manifest, "size": partial.stat().st_size, "sha256": checksum}
        out.with_name(out.name + ".manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _run(command: list[str], stdin: str = "") -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False)
    except FileNotFoundError:
        raise ImageError(f"{command[0]} is not installed; see `minicloud doctor`") from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"{command[0]} did not finish in {BUILD_TIMEOUT} s") from None
    if done.returncode:
        raise ImageError(f"{command[0]} failed ({done.returncode}):\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def _copy_tree(tree: Path, root: Path) -> None:
    """Copy files, modes and links of `tree` over `root`; directories that are links in the image (lib) are followed."""
    for directory, subdirectories, files in os.walk(tree):
        target = (root / Path(directory).relative_to(tree)).resolve()
        if not target.is_relative_to(root.resolve()):
            raise ImageError(f"customize: {directory} leads out of the image through the link at {target}")
        target.mkdir(exist_ok=True)
        links = [name for name in subdirectories if (Path(directory) / name).is_symlink()]
        for name in (*files, *links):
            (target / name).unlink(missing_ok=True)
            shutil.copy2(Path(directory) / name, target / name, follow_symlinks=False)


def _empty(directory: Path, keep_directories: bool) -> None:
    """Remove the files below `directory`; daemons expect their log directories, so those may stay."""
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            _empty(entry, True) if keep_directories else shutil.rmtree(entry)
        else:
            entry.unlink()


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # it may be a link that leads out of the tree
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
