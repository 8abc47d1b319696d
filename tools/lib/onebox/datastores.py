"""The datastores that a set-up can offer: the folders of tools/image, in each one recipe for each version.

A folder <datastore> has: <version>.json, the recipe of the guest's system; requirements.txt, the drivers of the agent;
*.conf, drop-ins of systemd units; new-data, a shell script that makes a data directory for guests to copy (optional).
A recipe has the fields of minicloud's (suite, packages, disabled, masked); "server", the package whose version is the
engine's; and "default": true in the version that a name alone stands for. Reads files and starts nothing.

A datastore that is a package of its own, contrib/trove-<datastore>, has the same folder there: image/<datastore>.
"""
import json
from dataclasses import dataclass

from onebox.settings import CHECKOUT, SetupError

IMAGES = CHECKOUT / "tools/image"
PACKAGES = CHECKOUT / "contrib"


@dataclass(frozen=True)
class Version:
    """One version of a datastore; its text is ``datastore:version``."""

    datastore: str
    name: str

    def __str__(self):
        return f"{self.datastore}:{self.name}"

    @property
    def home(self):
        """The directory of the package that brings the datastore, None for Trove's own."""
        home = PACKAGES / f"trove-{self.datastore}"
        return home if (home / "image").is_dir() else None

    @property
    def package(self):
        """The directory of its Python package, None for Trove's own."""
        return self.home and self.home / f"trove_{self.datastore}"

    @property
    def folder(self):
        """The files of the datastore."""
        return (self.home / "image" if self.home else IMAGES) / self.datastore

    @property
    def recipe(self):
        """The recipe as a dict."""
        return json.loads((self.folder / f"{self.name}.json").read_text())

    @property
    def rules(self):
        """The file of validation rules: the version's own, else the datastore's."""
        templates = (self.package or CHECKOUT / "trove") / "templates" / self.datastore
        own = templates / self.name / "validation-rules.json"
        return own if own.exists() else templates / "validation-rules.json"


def names():
    """The names of all datastores, sorted."""
    return sorted({path.parent.name for path in (*IMAGES.glob("*/*.json"), *PACKAGES.glob("trove-*/image/*/*.json"))})


def versions(datastore):
    """The versions of a datastore, the default first. Raises SetupError when no or several recipes are the default."""
    folder = Version(datastore, "").folder
    found = [Version(datastore, path.stem) for path in sorted(folder.glob("*.json"))]
    default = [version for version in found if version.recipe.get("default")] if len(found) > 1 else found[:1]
    if len(default) != 1:
        raise SetupError(f'One recipe in {folder} must have "default": true; '
                         f"{len(default)} of {len(found)} have it")
    return [*default, *(version for version in found if version not in default)]


def every():
    """All versions of all datastores."""
    return [version for name in names() for version in versions(name)]


def find(text):
    """The Version that ``datastore`` (its default) or ``datastore:version`` stands for. Raises SetupError."""
    datastore, _, name = text.partition(":")
    known = every()
    for version in known:
        if version.datastore == datastore and name in ("", version.name):
            return version
    raise SetupError(f"There is no datastore {text}; there are: {', '.join(map(str, known))}")
