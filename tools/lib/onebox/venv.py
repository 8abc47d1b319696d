"""Virtual environments in the cache: made once per content of the files that describe them."""
import hashlib
import shutil
import sys

from onebox.command import run
from onebox.settings import CHECKOUT

PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore")


def control_plane(settings):
    """The directory of the environment with the control plane, minicloud and the test tools of this checkout."""
    files = ("requirements.txt", "test-requirements.txt", "constraints.txt", "setup.cfg",
             "contrib/minicloud/pyproject.toml")
    content = b"".join((CHECKOUT / name).read_bytes() for name in files) + str(CHECKOUT).encode()

    def fill(python):
        constraints = ("-c", str(CHECKOUT / "constraints.txt"))
        run([python, *PIP, *constraints, "wheel", "setuptools", "-r", str(CHECKOUT / "requirements.txt"),
             "-r", str(CHECKOUT / "test-requirements.txt")], timeout=1200)
        run([python, *PIP, *constraints, "--no-build-isolation", "-e", str(CHECKOUT),
             "-e", str(CHECKOUT / "contrib/minicloud")], timeout=600)

    return _environment(settings, "venv", content, fill)


def client(settings, name, requirements):
    """The directory of an environment with nothing but a client of the cloud; requirements: arguments of pip."""
    return _environment(settings, name, "\n".join(requirements).encode(),
                        lambda python: run([python, *PIP, *requirements], timeout=1200))


def _environment(settings, name, content, fill):
    digest = hashlib.sha256(content + sys.version.encode()).hexdigest()[:12]
    directory = settings.cache / f"{name}-{digest}"
    complete = directory / "complete"
    if not complete.exists():
        shutil.rmtree(directory, ignore_errors=True)
        settings.cache.mkdir(parents=True, exist_ok=True)
        run([sys._base_executable, "-m", "venv", str(directory)], timeout=300)
        fill(str(directory / "bin/python"))
        complete.touch()
    return directory
