"""Files with lines of the form ``name = 'value'``: quotes inside are doubled, a backslash takes the next character."""
import re

from trove.common.files.base import FileFormat, lines

_LINE = re.compile(r"""(?P<name>[A-Za-z][\w.-]*)  (?:\s*=\s*|\s+)
                       (?: '(?P<quoted>(?:[^'\\]|''|\\.)*)' | (?P<plain>[^\s'#]+) )  \s* (?:\#.*)?""", re.VERBOSE)


class Pairs(FileFormat):
    """The equals sign may be missing, and so may the quotes around a plain value. Lines of another form are skipped."""

    def parse(self, text):
        """See the base."""
        found = {}
        for line in lines(text):
            match = _LINE.fullmatch(line)
            if match:
                quoted = match["quoted"]
                found[match["name"]] = match["plain"] if quoted is None else re.sub(r"'(')|\\(.)", r"\1\2", quoted)
        return found

    def line(self, name, text):
        """See the base."""
        escaped = text.replace("\\", "\\\\").replace("'", "''")
        return f"{name} = '{escaped}'"
