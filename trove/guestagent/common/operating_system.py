"""The guest's operating system for everything in the agent: commands as argument lists, and files written in one piece.

Secrets go to commands through files or stdin, never as arguments.
"""
import contextlib
import fnmatch
import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import spans

LOG = logging.getLogger(__name__)


class ProcessError(exception.TroveError):
    """A command failed or ran into its deadline."""

    message = "The command %(command)s failed (%(code)s): %(stderr)s"


def run(argv, *, stdin=None, timeout=None, ok=(0,), env=None):
    """Run a command to its end and return its output as text.

    argv: list; stdin: text for it or None; timeout: seconds, host_command_timeout if None; ok: exit codes that are
    no error; env: variables added to the environment. Raises ProcessError with the end of what it said.
    """
    timeout = CONF.host_command_timeout if timeout is None else timeout
    LOG.debug("Running %s", argv)
    try:
        with spans.span("command", argv[0]):
            done = subprocess.run(argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                                  capture_output=True, timeout=timeout, text=True,
                                  errors="replace", env={**os.environ, "LC_ALL": "C", **(env or {})}, check=False)
    except subprocess.TimeoutExpired as error:
        raise ProcessError(command=argv[0], code="deadline", stderr=f"not done after {timeout} s") from error
    except OSError as error:
        raise ProcessError(command=argv[0], code="not started", stderr=str(error)) from error
    if done.returncode not in ok:
        said = (done.stderr.strip() or done.stdout.strip())[-1000:]
        raise ProcessError(command=argv[0], code=f"code {done.returncode}", stderr=said)
    return done.stdout


def write_file(path, text, mode=0o644, owner=None):
    """Replace a file as a whole: readers see the old or the new content, also after a crash.

    mode: permissions; owner: user name, or None for the agent's own.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if owner is not None:
                account = pwd.getpwnam(owner)
                os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path):
    """Let names made, renamed or removed in a directory survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path):
    """The text of a file, or None if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def open_plain(path):
    """Open a file for reading in a directory that others than the agent may write. Raises OSError.

    A symbolic link in its place is an error, and a pipe there is not waited for.
    """
    return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def state_dir():
    """The directory of the agent's own files, made for its eyes only if it is missing."""
    path = Path(CONF.guest_state_dir)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def make_directory(path, owner, mode=0o750):
    """Make a directory (and those above it) that belongs to a user; one that exists gets owner and mode."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    account = pwd.getpwnam(owner)
    os.chown(path, account.pw_uid, account.pw_gid)
    path.chmod(mode)


def change_owner(path, owner):
    """Give a directory and all in it to a user. Symbolic links are not followed."""
    account = pwd.getpwnam(owner)
    os.chown(path, account.pw_uid, account.pw_gid)
    for directory, names, files in os.walk(path):
        for name in (*names, *files):
            os.chown(Path(directory, name), account.pw_uid, account.pw_gid, follow_symlinks=False)


def copy_tree(source, target, without=()):
    """Copy what is in a directory, with modes, owners and times, into a new one; names that match a pattern in
    ``without`` are left out.
    """
    Path(target).mkdir(mode=0o700)
    entries = [str(entry) for entry in sorted(Path(source).iterdir())
               if not any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in without)]
    run(["cp", "-a", "--reflink=auto", "--sparse=always", "-t", str(target), "--", *entries])


def total_memory():
    """Return the memory of this guest in MB, as its kernel shows it."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("MemTotal:")) // 1024


def remove_tree(path):
    """Remove a directory with all in it; none is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
