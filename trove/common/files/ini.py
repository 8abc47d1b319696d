"""Files with sections in brackets and lines of the form ``name = value``; one section has the server's settings."""
from trove.common.files.base import FileFormat, lines


class Ini(FileFormat):
    """section: the one that is read and written.

    An option without a value is switched on ("1"). Lines that begin with ``;`` are comments, with ``!`` directives.
    """

    def __init__(self, section):
        self.section = section

    def parse(self, text):
        """See the base; other sections are left out."""
        found, inside = {}, False
        for line in lines(text):
            if line.startswith("["):
                inside = line == f"[{self.section}]"
            elif inside and line[0] not in ";!":
                name, equals, value = (part.strip() for part in line.partition("="))
                found[name] = value if equals else "1"
        return found

    def render(self, values):
        """See the base."""
        return f"[{self.section}]\n{super().render(values)}"

    def line(self, name, text):
        """See the base."""
        return f"{name} = {text}"
