"""Virtual environments in the cache: made once per content of the files that describe them.

One that is complete is never removed: services may run from it, and other checkouts may share the cache.
"""
import hashlib
import os
import shutil
import sys

from onebox.command import run
from onebox.settings import CHECKOUT, making

PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore")
# Packages of this checkout beside the control plane: the development cloud, and datastores of packages of their own.
PACKAGES = ("minicloud", *sorted(path.parent.name for path in CHECKOUT.glob("contrib/trove-*/pyproject.toml")))
DESCRIPTION = ("requirements.txt", "test-requirements.txt", "constraints.txt", "setup.cfg",
               *(f"contrib/{name}/pyproject.toml" for name in PACKAGES))


def control_plane_missing(cache):
    """Whether `control_plane` would have to make its environment."""
    return not (_directory(cache, "venv", _description()) / "complete").exists()


def control_plane(cache):
    """The directory of the environment with the control plane, minicloud and the test tools of this checkout."""
    def fill(python):
        constraints = ("-c", str(CHECKOUT / "constraints.txt"))
        run([python, *PIP, *constraints, "wheel", "setuptools", "-r", str(CHECKOUT / "requirements.txt"),
             "-r", str(CHECKOUT / "test-requirements.txt")], timeout=1200)
        run([python, *PIP, *constraints, "--no-build-isolation", "-e", str(CHECKOUT),
             *(argument for name in PACKAGES for argument in ("-e", str(CHECKOUT / "contrib" / name)))], timeout=600)

    return _environment(_directory(cache, "venv", _description()), fill)


def client(cache, name, requirements, finish=None, sources=()):
    """The directory of an environment with nothing but a client of the cloud.

    requirements: arguments of pip; finish: called with the path of its Python when they are installed; sources: files
    of which ``finish`` makes something.
    """
    def fill(python):
        run([python, *PIP, *requirements], timeout=1200)
        if finish:
            finish(python)

    content = "\n".join(requirements).encode() + b"".join(path.read_bytes() for path in sources)
    return _environment(_directory(cache, name, content), fill)


def _description():
    return b"".join((CHECKOUT / name).read_bytes() for name in DESCRIPTION) + str(CHECKOUT).encode()


def _directory(cache, name, content):
    return cache / f"{name}-{hashlib.sha256(content + sys.version.encode()).hexdigest()[:12]}"


def _environment(directory, fill):
    if (directory / "complete").exists():
        return directory
    with making(directory):
        if (directory / "complete").exists():  # another run has made it meanwhile
            return directory
        shutil.rmtree(directory, ignore_errors=True)  # of a run that was interrupted
        run([os.path.realpath(sys.executable), "-m", "venv", str(directory)], timeout=300)
        fill(str(directory / "bin/python"))
        (directory / "complete").touch()
    return directory
