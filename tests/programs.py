"""Programs of database servers out of guest images, for versions that this machine's Debian does not have.

They run here with the libraries of their own system, at the places that they have there below a directory.
"""
import contextlib
import hashlib
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from onebox import image
from onebox.settings import locate, making

TIMEOUT = 600  # seconds for unpacking, which takes a few
_LIBRARIES = ("usr/lib64", "usr/lib/*-linux-gnu")
# It stands in a program's place; the program lies beside it. Its argument names the directories of the libraries.
_LOADER = """#!/bin/bash
root={root}
exec -a "$0" "$root"/usr/lib64/ld-linux-*.so.* --library-path "$root/usr/lib/{libraries}" --argv0 "$0" \\
    "$root/{real}" "$@"{more}
"""
_SCRIPT = """#!/bin/bash
root={root}
exec "$root/{real}" "$@"{more}
"""


@contextlib.contextmanager
def of(version, programs, files=()):
    """A directory with programs of a guest image, which is built if it is not there; its files are readable to all.

    version: ``onebox.datastores.Version``; programs: {path in the image: further arguments of each call, a text for the
    shell in which "$root" is the directory}; files: patterns of what they need beside their libraries.
    A server changes its user, who must be able to read them: they are copied for as long as they are used when the
    cache lies where only root may look. Raises SetupError when the image cannot be built.
    """
    root = _unpacked(version, programs, files)
    if all(path.stat().st_mode & stat.S_IXOTH for path in root.parents):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="trove-test-programs-") as copy:
        Path(copy).chmod(0o755)
        shutil.copytree(root, f"{copy}/programs", symlinks=True)
        yield Path(copy, "programs")


def _unpacked(version, programs, files):
    cache = locate()[1]
    packed = image.root(cache, version)
    digest = hashlib.sha256(repr((sorted(programs.items()), files, _LIBRARIES, _LOADER, _SCRIPT)).encode())
    root = cache / f"{packed.stem}-programs-{digest.hexdigest()[:8]}"
    with making(root):
        if not (root / "complete").exists():
            shutil.rmtree(root, ignore_errors=True)  # of a run that was interrupted
            subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-dest", root, packed, *_LIBRARIES,
                            *programs, *files], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
            [libraries] = (root / "usr/lib").glob("*-linux-gnu")
            for path, more in programs.items():
                _wrap(root, path, libraries.name, more)
            (root / "complete").touch()
    return root


def _wrap(root, path, libraries, more):
    """Put a script in the place of a program."""
    program = root / path
    found = program.resolve()  # it may be a link to another name of it
    if not found.is_relative_to(root):
        raise RuntimeError(f"{path} of the image is a link out of it, to {found}")
    real = program.with_name(f".{program.name}.real")
    shutil.copy2(found, real)
    text = _LOADER if real.read_bytes()[:4] == b"\x7fELF" else _SCRIPT
    # The directory may be copied: the script finds it by its own place.
    up = "/".join([".."] * (len(Path(path).parts) - 1))
    program.unlink()
    program.write_text(text.format(root=f'$(cd "${{0%/*}}/{up}" && pwd)', libraries=libraries,
                                   real=real.relative_to(root), more=f" {more}" if more else ""))
    program.chmod(0o755)
