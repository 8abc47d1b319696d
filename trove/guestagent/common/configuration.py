"""The configuration files of a database server: one base file, and layers of overrides beside it as files of their own.

Layers live in a directory that the base file includes. Names sort in the order in which they win: defaults that the
base file may lack first, then the user's group, then the system's; inside a group later ones win. Applying a layer
replaces its file as a whole, so that a value taken out of it is really gone.
"""
import re
from pathlib import Path

from trove.common import exception
from trove.guestagent.common import operating_system

DEFAULT_GROUP = "10-default"
USER_GROUP = "20-user"
SYSTEM_GROUP = "50-system"
# Change id of the configuration group that is attached to an instance.
COMMON = "common"

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def render_ini(values, section):
    """The text of an option file with one section. Raises BadValue for a key or value that would break out of it."""
    lines = [f"[{section}]"]
    for key, value in sorted(values.items()):
        if not _KEY.fullmatch(key):
            raise exception.BadValue(field=key, reason="is no name of an option.")
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if any(ord(character) < 32 for character in text):
            raise exception.BadValue(field=key, reason="its value must be one line.")
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


class ConfigurationManager:
    """Base file and override layers of one server.

    base: path of the base file; overrides: directory it includes; section: section of the server's options; extension:
    of the layers' files.

    The files belong to the agent, and everybody may read them. The server's user must not write them: its users can
    make a server write files, and programs that the agent runs as root read these.
    """

    def __init__(self, base, overrides, section, extension="cnf"):
        self.base = Path(base)
        self.overrides = Path(overrides)
        self.section = section
        self.extension = extension

    def save_configuration(self, contents, keep_overrides=False):
        """Replace the base file; the layers over it are removed first, unless they are to be kept."""
        if not keep_overrides:
            for path in self._layers("*"):
                path.unlink()
        self.base.parent.mkdir(parents=True, exist_ok=True)
        operating_system.write_file(self.base, contents)

    def apply_override(self, values, group=USER_GROUP, change_id=COMMON):
        """Replace one layer by ``values`` (dict); the layer is gone when there are none."""
        if not values:
            self.remove_override(group, change_id)
            return
        self.overrides.mkdir(parents=True, exist_ok=True)
        present = self._layers(group, change_id)
        if present:
            path = present[0]
        else:
            numbers = [int(layer.name[len(group) + 1:].split("-")[0]) for layer in self._layers(group)]
            number = max(numbers, default=0) + 1
            path = self.overrides / f"{group}-{number:03d}-{change_id}.{self.extension}"
        operating_system.write_file(path, render_ini(values, self.section))

    def remove_override(self, group=USER_GROUP, change_id=COMMON):
        """Remove one layer; none is fine."""
        for path in self._layers(group, change_id):
            path.unlink()

    def _layers(self, group, change_id="*"):
        groups = (DEFAULT_GROUP, USER_GROUP, SYSTEM_GROUP) if group == "*" else (group,)
        return sorted(path for name in groups
                      for path in self.overrides.glob(f"{name}-[0-9][0-9][0-9]-{change_id}.{self.extension}"))
