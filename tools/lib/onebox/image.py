"""The guest images: for each engine a Debian tree with it, and above that one layer with the guest agent.

They lie in the cache under the checksum of what they are made of. Runs in the environment of the control plane (uses
minicloud's builder); starts nothing and uploads nothing.
"""
import hashlib
import json
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from minicloud import image

from onebox.command import run
from onebox.settings import CHECKOUT, SetupError, making, write
from onebox.venv import PIP

RECIPES = CHECKOUT / "tools/image"
LIBRARIES = "opt/trove/lib"  # in the guest: the agent's libraries and the trove package
UNIT = "trove-guestagent.service"
DATA_DIRECTORY = "var/lib/mysql.template"  # in the guest: where the agent looks for one
# The command that makes a data directory with the tables of time zones filled, and a small redo log: it is quick to
# copy, and the server makes the log larger at its first start if its options say so. For the guest's shell; $1 is the
# directory. Nothing is
# lost if the machine stops: it is made anew.
_OPTIONS = "--no-defaults --user=mysql --innodb-flush-method=nosync --datadir=$1"
_MARIADB = f"{_OPTIONS} --innodb-log-file-size=8M"
NEW_DATA = {
    "mariadb": f"mariadb-install-db {_MARIADB} --auth-root-authentication-method=socket --skip-test-db\n"
               "mariadb-tzinfo-to-sql /usr/share/zoneinfo/posix > /tmp/zones\n"
               f"(echo 'USE mysql;'; cat /tmp/zones) | mariadbd {_MARIADB} --bootstrap",
    # It wants each statement on one line.
    "mysql": "mysql_tzinfo_to_sql /usr/share/zoneinfo > /tmp/zones\n"
             "(echo 'USE mysql;'; tr '\\n' ' ' < /tmp/zones | sed 's/; */;\\n/g') > /tmp/zones.sql\n"
             f"mysqld {_OPTIONS} --innodb-redo-log-capacity=8M --initialize-insecure --init-file=/tmp/zones.sql",
}


def root(cache, engine):
    """The squashfs file of the guest's system with ``engine``; built with mmdebstrap if it is not in the cache.

    Raises SetupError.
    """
    source = RECIPES / f"{engine}.json"
    recipe = json.loads(source.read_text())
    out = cache / f"{engine}-{_digest(source, Path(image.__file__))}.squashfs"
    with making(out):
        if not out.exists():
            try:
                image.build(image.Recipe(**{key: tuple(value) if isinstance(value, list) else value
                                            for key, value in recipe.items()}), out)
            except image.ImageError as error:
                raise SetupError(f"The guest system with {engine} cannot be built: {error}") from None
    return out


def engine_version(root, engine):
    """The first two numbers of the engine's version in an image, from its manifest: ``10.11``."""
    return _version(root, f"{engine}-server")


def _version(root, package):
    versions = json.loads(root.with_name(root.name + ".manifest.json").read_text())["packages"]
    return ".".join(versions[package].rpartition(":")[2].split(".")[:2])


def agent(settings, root, engine):
    """The squashfs file of the layer above ``root``: the agent and a data directory for it to copy.

    The trove package is in it, or an empty directory in its place.
    """
    libraries = _libraries(settings, _version(root, "python3"))
    sources = [CHECKOUT / "contrib/trove-guestagent", RECIPES / "inside", Path(__file__), libraries / "complete"]
    if settings.agent == "image":
        sources.append(CHECKOUT / "trove")
    out = settings.cache / f"{root.stem}-agent-{settings.agent}-{_digest(*sources)}.squashfs"
    if not out.exists():
        with tempfile.TemporaryDirectory(prefix=".agent-", dir=settings.cache) as work:
            tree = Path(work) / "root"
            tree.mkdir(mode=0o755)  # becomes the guest's /, which everybody must be able to enter
            _fill(settings, tree, libraries)
            _compile(root, tree)
            _make_data(root, tree, engine)
            image.layer(tree, out)
    return out


def binds(settings):
    """What guests see of this host: nothing, or with ``agent=checkout`` the trove package of this checkout."""
    if settings.agent == "image":
        return []
    return [{"source": str(CHECKOUT / "trove"), "target": f"/{LIBRARIES}/trove"}]


def _libraries(settings, python):
    """A directory with the agent's libraries for guests with that version of Python, made once per content of the
    requirements.
    """
    requirements, constraints = CHECKOUT / "guest-requirements.txt", CHECKOUT / "constraints.txt"
    directory = settings.cache / f"agent-libraries-{python}-{_digest(requirements, constraints)}"
    with making(directory):
        if (directory / "complete").exists():
            return directory
        shutil.rmtree(directory, ignore_errors=True)  # of a run that was interrupted
        run([sys.executable, *PIP, "--target", str(directory / "lib"), "--no-compile", "--only-binary", ":all:",
             "--python-version", python, "-c", str(constraints), "-r", str(requirements)], timeout=1200)
        for tests in sorted((directory / "lib").rglob("tests"), reverse=True):  # the inner before the outer
            shutil.rmtree(tests)
        write(directory / "complete", f"{python} {_digest(requirements, constraints)}")
    return directory


def _fill(settings, tree, libraries):
    shutil.copytree(libraries / "lib", tree / LIBRARIES, ignore=shutil.ignore_patterns("bin"))
    package = tree / LIBRARIES / "trove"
    if settings.agent == "image":
        shutil.copytree(CHECKOUT / "trove", package, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        package.mkdir()
    version = metadata.version("trove")
    write(tree / LIBRARIES / f"trove-{version}.dist-info/METADATA",
          f"Metadata-Version: 2.1\nName: trove\nVersion: {version}\n")
    units = tree / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(CHECKOUT / "contrib/trove-guestagent" / UNIT, units / UNIT)
    for drop_in in sorted((CHECKOUT / "contrib/trove-guestagent").glob("*.conf")):
        (units / f"{drop_in.stem}.service.d").mkdir()
        shutil.copy(drop_in, units / f"{drop_in.stem}.service.d/trove.conf")
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / UNIT).symlink_to(f"/usr/lib/systemd/system/{UNIT}")
    write(tree / "usr/bin/trove-guestagent",
          f"#!/usr/bin/python3 -I\nimport sys\n\nsys.path.insert(0, '/{LIBRARIES}')\n"
          "from trove.cmd.guestagent import main\n\nsys.exit(main())\n", mode=0o755)


def _inside(root, tree, *command):
    """Run a command in the guest's system, where ``tree`` is /mnt."""
    run(["unshare", "--mount", "--", str(RECIPES / "inside"), str(root), str(tree), *command], timeout=300)


def _compile(root, tree):
    """Byte code that is believed without a look at the source: the image does not change, and start-up is faster."""
    _inside(root, tree, "python3", "-I", "-c", "import compileall, py_compile; compileall.compile_dir("
            f"'/mnt/{LIBRARIES}', stripdir='/mnt', quiet=2, invalidation_mode="
            "py_compile.PycInvalidationMode.UNCHECKED_HASH)")


def _make_data(root, tree, engine):
    directory = tree / DATA_DIRECTORY
    directory.parent.mkdir(parents=True)
    _inside(root, tree, "install", "-d", "-o", "mysql", "-g", "mysql", "-m", "0700", f"/mnt/{DATA_DIRECTORY}")
    _inside(root, tree, "sh", "-ec", NEW_DATA[engine], "sh", f"/mnt/{DATA_DIRECTORY}")
    for pattern in ("*.pid", "auto.cnf", "*.pem"):  # private keys are each server's own
        for path in directory.glob(pattern):
            path.unlink()


def _digest(*sources):
    """A checksum of files and of all files below directories, with their names."""
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(source.parent)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
