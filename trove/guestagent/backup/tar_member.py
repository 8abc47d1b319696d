"""Copy a tar from standard input to standard output, and keep one of its members as a file.

A program of its own, put between two others: tar_member.py NAME FILE. It imports nothing of the product. What is no tar
is an error (exit status 1), and so is a tar without that member.
"""
import os
import sys

BLOCK = 512
_READ = 1024 * 1024


def _number(field):
    """Return a number of a header: octal digits, or binary if the first bit is set. Raises ValueError."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ~(0xFF << 8 * (len(field) - 1))
    return int(field.split(b"\0")[0].strip() or b"0", 8)


class Copier:
    """Reads blocks, writes them, and hands out their bytes one after another."""

    def __init__(self, source, target):
        self._source, self._target = source, target
        self._block = memoryview(b"")

    def take(self, size, use=None):
        """Copy ``size`` bytes; use: called with the parts of them. Raises EOFError when there are not so many."""
        while size:
            if not self._block:
                block = os.read(self._source, _READ)
                if not block:
                    raise EOFError
                self._block = memoryview(block)
                _write(self._target, self._block)
            part = self._block[:size]
            if use:
                use(part)
            self._block = self._block[len(part):]
            size -= len(part)

    def header(self):
        """Return the next header, or None at the end of the members. Raises EOFError."""
        header = bytearray()
        self.take(BLOCK, header.extend)
        return bytes(header) if any(header) else None

    def rest(self):
        """Copy what follows the members."""
        while block := os.read(self._source, _READ):
            _write(self._target, block)


def _write(target, view):
    view = memoryview(view)
    while view:
        view = view[os.write(target, view):]


def copy(source, target, name, path):
    """Copy a tar between two descriptors, and write the content of the member ``name`` to ``path``. Returns whether
    there was one. Raises ValueError for what is no tar, EOFError for one that was cut.
    """
    copier, found = Copier(source, target), False
    while header := copier.header():
        if header[257:262] != b"ustar":
            raise ValueError("no tar")
        size = _number(header[124:136])
        if header[:100].rstrip(b"\0").removeprefix(b"./") == name.encode():
            with open(path, "wb") as file:
                copier.take(size, file.write)
            found = True
        else:
            copier.take(size)
        copier.take(-size % BLOCK)
    copier.rest()
    return found


if __name__ == "__main__":
    try:
        if not copy(0, 1, *sys.argv[1:]):
            sys.exit(f"there is no member {sys.argv[1]}")
    except (ValueError, EOFError, OSError) as error:
        sys.exit(f"the stream is damaged: {error!r}")
