"""The identifier of a database cluster, by which servers tell their own log from that of others.

initdb makes one. A copy of a data directory has that of the original, until it is renewed here: pg_resetwal, which must
follow, writes the log anew with it.
"""
import os
import struct
import time

# Castagnoli's polynomial, reflected, as the server uses it.
_POLYNOMIAL = 0x82F63B78
# Bytes of the control file among which its checksum stands, whatever the version; the rest is empty.
_LONGEST = 512


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def renew(directory):
    """Give the data directory of a stopped server a new identifier. Raises ValueError if its control file is damaged.

    A repetition gives it yet another one.
    """
    path = directory / "global/pg_control"
    content = path.read_bytes()
    place = next((place for place in range(128, _LONGEST, 4)
                  if struct.unpack_from("=I", content, place)[0] == _crc32c(content[:place])), None)
    if place is None:
        raise ValueError(f"{path} has no valid checksum.")
    # As initdb makes it: the time, and something that differs among those of the same moment.
    identifier = int(time.time()) << 32 | int.from_bytes(os.urandom(4))
    changed = struct.pack("=Q", identifier) + content[8:place]
    with path.open("r+b") as file:
        file.write(changed + struct.pack("=I", _crc32c(changed)))
        file.flush()
        os.fsync(file.fileno())
