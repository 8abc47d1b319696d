"""The configuration files of a database server: one base file, and layers of overrides over it.

Groups of layers sort in the order in which they win: defaults that the base file may lack first, then the user's
group, then the system's; inside a group later layers win. Applying a layer replaces it as a whole, so that a value
taken out of it is really gone.

The files belong to the agent, and everybody may read them. The server's user must not write them: its users can make a
server write files, and programs that the agent runs as root read these.
"""
import abc
import json
from pathlib import Path

from trove.guestagent.common import operating_system

DEFAULT_GROUP = "10-default"
USER_GROUP = "20-user"
SYSTEM_GROUP = "50-system"
# Change id of the configuration group that is attached to an instance.
COMMON = "common"


class Layers(abc.ABC):
    """Base file and layers of one server. base: path of the base file; file_format: of ``trove.common.files``."""

    def __init__(self, base, file_format):
        self.base = Path(base)
        self.file_format = file_format

    @abc.abstractmethod
    def save_configuration(self, contents, keep_overrides=False):
        """Replace the base file; the layers over it are removed first, unless they are to be kept."""

    @abc.abstractmethod
    def apply_override(self, values, group=USER_GROUP, change_id=COMMON):
        """Replace one layer by ``values`` ({name: value}), or remove it if there are none.

        Raises BadValue for a name or value that would break out of its line.
        """

    def remove_override(self, group=USER_GROUP, change_id=COMMON):
        """Remove one layer, if it exists."""
        self.apply_override({}, group, change_id)


class _Files:
    """Layers as files of a directory, whose names sort in the order in which they win.

    A file's name is GROUP-NUMBER-CHANGE.EXTENSION.
    """

    def __init__(self, directory, extension):
        self.directory = Path(directory)
        self.extension = extension

    def write(self, group, change_id, text):
        """Replace one layer's file; it keeps its number."""
        self.directory.mkdir(parents=True, exist_ok=True)
        present = self.paths(group, change_id)
        if present:
            path = present[0]
        else:
            numbers = [int(layer.name[len(group) + 1:].split("-")[0]) for layer in self.paths(group)]
            path = self.directory / f"{group}-{max(numbers, default=0) + 1:03d}-{change_id}.{self.extension}"
        operating_system.write_file(path, text)

    def remove(self, group="*", change_id="*"):
        """Remove the files of these layers, all by default."""
        for path in self.paths(group, change_id):
            path.unlink()

    def paths(self, group="*", change_id="*"):
        """Return the files of these layers in the order in which they win, the weakest first."""
        groups = (DEFAULT_GROUP, USER_GROUP, SYSTEM_GROUP) if group == "*" else (group,)
        return sorted(path for name in groups
                      for path in self.directory.glob(f"{name}-[0-9][0-9][0-9]-{change_id}.{self.extension}"))


class IncludedLayers(Layers):
    """Layers in a directory that the base file includes. extension: of the files' names, as the server wants it."""

    def __init__(self, base, overrides, file_format, extension="cnf"):
        super().__init__(base, file_format)
        self.overrides = Path(overrides)
        self._files = _Files(overrides, extension)

    def read_override(self, group=USER_GROUP, change_id=COMMON):
        """Return the values of one layer, {name: text}."""
        found = {}
        for path in self._files.paths(group, change_id):
            found.update(self.file_format.parse(path.read_text(encoding="utf-8")))
        return found

    def save_configuration(self, contents, keep_overrides=False):
        """See the base."""
        if not keep_overrides:
            self._files.remove()
        self.base.parent.mkdir(parents=True, exist_ok=True)
        operating_system.write_file(self.base, contents)

    def apply_override(self, values, group=USER_GROUP, change_id=COMMON):
        """See the base."""
        if values:
            self._files.write(group, change_id, self.file_format.render(values))
        else:
            self._files.remove(group, change_id)


class MergedLayers(Layers):
    """Layers for a server whose file includes no others: base and layers are merged into the one file that it reads.

    memory: a directory of the agent's own, where the base and the layers are kept. The server's file is written after
    them, so an agent that dies in between writes it with the next change.
    """

    def __init__(self, base, memory, file_format):
        super().__init__(base, file_format)
        self._memory = Path(memory)
        self._files = _Files(memory, "json")

    def save_configuration(self, contents, keep_overrides=False):
        """See the base."""
        if not keep_overrides:
            self._files.remove()
        self._memory.mkdir(parents=True, exist_ok=True)
        operating_system.write_file(self._memory / "base", contents)
        self._merge()

    def apply_override(self, values, group=USER_GROUP, change_id=COMMON):
        """See the base."""
        if values:
            self.file_format.render(values)  # refuses what cannot be written, before anything is changed
            self._files.write(group, change_id, json.dumps(values))
        else:
            self._files.remove(group, change_id)
        self._merge()

    def _merge(self):
        values = self.file_format.parse(operating_system.read_file(self._memory / "base") or "")
        for path in self._files.paths():
            layer = json.loads(path.read_text(encoding="utf-8"))
            # In the spelling of the base: names may be written in several.
            values.update(self.file_format.parse(self.file_format.render(layer)))
        self.base.parent.mkdir(parents=True, exist_ok=True)
        operating_system.write_file(self.base, self.file_format.render(values))
