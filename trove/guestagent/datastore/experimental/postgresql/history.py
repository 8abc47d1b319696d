"""The backups that were taken of this server, on which increments can be made; kept on the data volume.

Each is a file named by the position in the write-ahead log at which the backup ended. Its text says of which history
of the server the backup is: a parent that was taken elsewhere is not found, and none is mixed up with another's.
"""
import json
import shutil

from trove.common import exception
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.experimental.postgresql import wal

# The slot that keeps the write-ahead log since the last backup but one.
SLOT = "trove_increments"
# The first version whose server makes increments itself, of summaries of its log.
SUMMARIES = 17
# How many are remembered: a parent is almost always the newest.
_KEPT = 16
_CURE = "Take a full backup, and base increments on that."


def _directory(app):
    return app.layout.mount_point / "parents"


def remember(app, lsn, timeline, manifest=None):
    """Note that a backup ended at a position (integer) on a timeline; the oldest ones are forgotten.

    manifest: the file that describes it, which the server wants for an increment on it.
    """
    directory = _directory(app)
    directory.mkdir(mode=0o700, exist_ok=True)
    if manifest:
        shutil.copyfile(manifest, directory / f"{lsn}.manifest")
    operating_system.write_file(directory / f"{lsn}.json", json.dumps({"timeline": timeline}), mode=0o600)
    for old in known(app)[:-_KEPT]:
        (directory / f"{old}.json").unlink(missing_ok=True)
        (directory / f"{old}.manifest").unlink(missing_ok=True)


def known(app):
    """Return the positions at which remembered backups ended, in ascending order."""
    return sorted(int(path.stem) for path in _directory(app).glob("*.json") if path.stem.isdigit())


def find(app, lsn, timeline):
    """Check that a backup that ended at ``lsn`` was taken of this server and its present timeline.

    Returns the path of its manifest, if it was remembered with one. Raises TroveError.
    """
    text = operating_system.read_file(_directory(app) / f"{lsn}.json")
    if text is None:
        raise exception.TroveError("The parent was not taken of this server, or more than "
                                   f"{_KEPT} backups ago. {_CURE}")
    if json.loads(text)["timeline"] != timeline:
        raise exception.TroveError(f"The server has been promoted since the parent was taken. {_CURE}")
    return _directory(app) / f"{lsn}.manifest"


def forget(app, session):
    """Forget all of them, as the server's history goes on in another way, and keep no log for increments on them."""
    wal.drop_slot(session, SLOT)
    operating_system.remove_tree(_directory(app))
