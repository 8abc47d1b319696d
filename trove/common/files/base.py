"""What every form of configuration file does, and the limits that all of them set to names and values."""
import abc
import re

from trove.common import exception

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


class FileFormat(abc.ABC):
    """A form of file. ``parse(render(values))`` gives the same settings, with their values as text.

    Settings are {name: value}; a value is a text of one line, a number or a boolean.
    """

    @abc.abstractmethod
    def parse(self, text):
        """Return the settings of a file as {name: text}; where a name comes twice, the last one wins."""

    def render(self, values):
        """Return the text of a file with these settings, in the order of their names.

        Raises BadValue for a name or a value that would break out of its line.
        """
        return "".join(f"{self.line(name, text)}\n" for name, text in self._checked(values))

    def text(self, value):
        """Return a value as a text for the server; a boolean is 1 or 0 where a form has no words of its own."""
        return str(int(value)) if isinstance(value, bool) else str(value)

    def _checked(self, values):
        for name, value in sorted(values.items()):
            if not _NAME.fullmatch(name):
                raise exception.BadValue(field=name, reason="is no name of an option.")
            text = self.text(value)
            if any(ord(character) < 32 for character in text):
                raise exception.BadValue(field=name, reason="its value must be one line.")
            yield name, text

    @abc.abstractmethod
    def line(self, name, text):
        """Return the line of one setting, whose name and text have been checked."""

    def variable(self, name):
        """Return the server's own name for a setting, from its name in a file."""
        return name

    def variables(self, text):
        """Return the settings of a file under the server's own names, as {variable: text}."""
        return {self.variable(name): value for name, value in self.parse(text).items()}


def lines(text):
    """Return the lines of a text that say something, stripped: neither empty nor comments that begin with #."""
    return [line for line in (each.strip() for each in text.split("\n")) if line and not line.startswith("#")]
