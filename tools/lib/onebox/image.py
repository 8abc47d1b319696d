"""The guest images: for each version of a datastore a Debian tree with it, and above that one layer with the agent.

They lie in the cache under the checksum of what they are made of. Runs in the environment of the control plane (uses
minicloud's builder); starts nothing and uploads nothing. What is an engine's own stands in its folder (``datastores``).
"""
import hashlib
import json
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from minicloud import image

from onebox.command import run
from onebox.datastores import IMAGES
from onebox.settings import CHECKOUT, SetupError, making, write
from onebox.venv import PIP

LIBRARIES = "opt/trove/lib"  # in the guest: the agent's libraries and the trove package
UNIT = "trove-guestagent.service"
DATA_DIRECTORY = "opt/trove/data"  # in the guest: where the agent looks for one (``server.TEMPLATE``)
BUILDERS = 2  # systems that are made at the same time: each loads a processor and the network
_OWN = ("server", "default")  # fields of a recipe that are not the builder's


def roots(cache, versions):
    """Return {version: squashfs file of its guests' system}; see ``root``."""
    with ThreadPoolExecutor(BUILDERS) as pool:
        return dict(zip(versions, pool.map(lambda version: root(cache, version), versions), strict=True))


def root(cache, version):
    """The squashfs file of the guest's system with a version; built with mmdebstrap if it is not in the cache.

    Raises SetupError, also when the suite has another version of the engine by now.
    """
    recipe = {key: tuple(value) if isinstance(value, list) else value
              for key, value in version.recipe.items() if key not in _OWN}
    digest = _digest(Path(image.__file__), text=json.dumps(recipe, sort_keys=True))
    out = cache / f"{version.datastore}-{version.name}-{digest}.squashfs"
    with making(out):
        if not out.exists():
            try:
                image.build(image.Recipe(**recipe), out)
            except image.ImageError as error:
                raise SetupError(f"The guest system with {version} cannot be built: {error}") from None
    found = _package_version(out, version.recipe["server"])
    if f"{found}.".startswith(f"{version.name}.") or f"{found}-".startswith(f"{version.name}-"):
        return out
    raise SetupError(f"The suite {version.recipe['suite']} has {version.datastore} {found} by now: rename "
                     f"{version.folder / version.name}.json after it")


def _package_version(root, package):
    """The version of a package in an image without its epoch, from the manifest: ``10.11.14-0+deb12u2``."""
    versions = json.loads(root.with_name(root.name + ".manifest.json").read_text())["packages"]
    if package not in versions:
        raise SetupError(f"{root} has no package {package}, which its recipe names as \"server\"")
    return versions[package].rpartition(":")[2]


def agent(settings, root, version):
    """The squashfs file of the layer above ``root``: the agent, and for some datastores data for it to copy.

    The trove package is in it, or an empty directory in its place.
    """
    libraries = _libraries(settings, version, ".".join(_package_version(root, "python3").split(".")[:2]))
    own = [path for path in (*sorted(version.folder.glob("*.conf")), version.folder / "new-data") if path.exists()]
    sources = [CHECKOUT / "contrib/trove-guestagent", IMAGES / "inside", *own, Path(__file__), libraries / "complete"]
    if settings.agent == "image":
        sources.append(CHECKOUT / "trove")
    if version.package:
        sources += [version.package, version.home / "pyproject.toml"]
    out = settings.cache / f"{root.stem}-agent-{settings.agent}-{_digest(*sources)}.squashfs"
    if not out.exists():
        with tempfile.TemporaryDirectory(prefix=".agent-", dir=settings.cache) as work:
            tree = Path(work) / "root"
            tree.mkdir(mode=0o755)  # becomes the guest's /, which everybody must be able to enter
            _fill(settings, tree, libraries, version)
            _compile(root, tree)
            if (version.folder / "new-data").exists():
                _inside(root, tree, "sh", "-ec", (version.folder / "new-data").read_text(), "new-data",
                        f"/mnt/{DATA_DIRECTORY}")
            image.layer(tree, out)
    return out


def binds(settings):
    """What guests see of this host: nothing, or with ``agent=checkout`` the trove package of this checkout."""
    if settings.agent == "image":
        return []
    return [{"source": str(CHECKOUT / "trove"), "target": f"/{LIBRARIES}/trove"}]


def _libraries(settings, version, python):
    """A directory with the agent's libraries for guests with that version of Python: common ones and the datastore's
    drivers. Made once per content of the requirements.
    """
    constraints = CHECKOUT / "constraints.txt"
    requirements = [CHECKOUT / "guest-requirements.txt", version.folder / "requirements.txt"]
    directory = settings.cache / f"agent-libraries-{python}-{_digest(*requirements, constraints)}"
    with making(directory):
        if (directory / "complete").exists():
            return directory
        shutil.rmtree(directory, ignore_errors=True)  # of a run that was interrupted
        run([sys.executable, *PIP, "--target", str(directory / "lib"), "--no-compile", "--only-binary", ":all:",
             "--python-version", python, "-c", str(constraints), *(f"-r{path}" for path in requirements)], timeout=1200)
        for tests in sorted((directory / "lib").rglob("tests"), reverse=True):  # the inner before the outer
            shutil.rmtree(tests)
        installed = sorted(path.name for path in (directory / "lib").glob("*.dist-info"))
        write(directory / "complete", "\n".join([python, *installed]))  # a layer is made of these, not of requirements
    return directory


def _fill(settings, tree, libraries, version):
    shutil.copytree(libraries / "lib", tree / LIBRARIES, ignore=shutil.ignore_patterns("bin"))
    package = tree / LIBRARIES / "trove"
    if settings.agent == "image":
        shutil.copytree(CHECKOUT / "trove", package, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        package.mkdir()
    trove = metadata.version("trove")
    write(tree / LIBRARIES / f"trove-{trove}.dist-info/METADATA",
          f"Metadata-Version: 2.1\nName: trove\nVersion: {trove}\n")
    if version.package:
        _fill_package(tree, version)
    units = tree / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(CHECKOUT / "contrib/trove-guestagent" / UNIT, units / UNIT)
    for drop_in in sorted(version.folder.glob("*.conf")):
        (units / f"{drop_in.stem}.service.d").mkdir()
        shutil.copy(drop_in, units / f"{drop_in.stem}.service.d/trove.conf")
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / UNIT).symlink_to(f"/usr/lib/systemd/system/{UNIT}")
    write(tree / "usr/bin/trove-guestagent",
          f"#!/usr/bin/python3 -I\nimport sys\n\nsys.path.insert(0, '/{LIBRARIES}')\n"
          "from trove.cmd.guestagent import main\n\nsys.exit(main())\n", mode=0o755)


def _fill_package(tree, version):
    """Put the package of a datastore beside the agent, with the entry points by which the agent knows it."""
    name = version.package.name
    shutil.copytree(version.package, tree / LIBRARIES / name, ignore=shutil.ignore_patterns("__pycache__"))
    installed = metadata.distribution(name)
    about = tree / LIBRARIES / f"{name}-{installed.version}.dist-info"
    for file in ("METADATA", "entry_points.txt"):
        write(about / file, installed.read_text(file))


def _inside(root, tree, *command):
    """Run a command in the guest's system, where ``tree`` is /mnt."""
    run(["unshare", "--mount", "--", str(IMAGES / "inside"), str(root), str(tree), *command], timeout=300)


def _compile(root, tree):
    """Byte code that is believed without a look at the source: the image does not change, and start-up is faster."""
    _inside(root, tree, "python3", "-I", "-c", "import compileall, py_compile; compileall.compile_dir("
            f"'/mnt/{LIBRARIES}', stripdir='/mnt', quiet=2, invalidation_mode="
            "py_compile.PycInvalidationMode.UNCHECKED_HASH)")


def _digest(*sources, text=""):
    """A checksum of a text, of files and of all files below directories, with their names."""
    digest = hashlib.sha256(text.encode())
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(source.parent)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
