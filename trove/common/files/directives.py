"""Files with lines of the form ``name argument argument``, where an argument may stand in double or single quotes."""
import re

from trove.common.files.base import FileFormat, lines

_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|' r"'((?:[^'\\]|\\.)*)'|(\S+)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")


class Directives(FileFormat):
    """The value of a setting is its arguments with one space between them; it is written as one argument.

    repeated: the names whose lines add up, where for all others the last line wins.
    """

    def __init__(self, repeated=()):
        self.repeated = frozenset(repeated)

    def parse(self, text):
        """See the base."""
        found: dict[str, str] = {}
        for line in lines(text):
            name, _, rest = line.partition(" ")
            value = " ".join(_unquoted(*match) for match in _ARGUMENT.findall(rest))
            name = name.lower()
            found[name] = f"{found[name]} {value}" if name in self.repeated and name in found else value
        return found

    def text(self, value):
        """See the base; a boolean is yes or no."""
        return ("yes" if value else "no") if isinstance(value, bool) else super().text(value)

    def line(self, name, text):
        """See the base."""
        if _PLAIN.fullmatch(text):
            return f"{name} {text}"
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name} "{escaped}"'


def _unquoted(double, single, plain):
    return plain or re.sub(r"\\(.)", r"\1", double) or re.sub(r"\\'", "'", single)
