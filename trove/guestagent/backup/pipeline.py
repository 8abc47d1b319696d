"""Programs of the guest that are connected by pipes, and the bytes that go in at one end or come out at the other.

No shell: argument lists, and the exit status of every program counts. A program that moves nothing for
``backup_idle_timeout`` seconds is ended. Python touches each byte once, in large blocks.
"""
import contextlib
import fcntl
import os
import select
import subprocess
import tempfile
from pathlib import Path

from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.guestagent.common import operating_system

LOG = logging.getLogger(__name__)

_PIPE_SIZE = 1024 * 1024


class Pipeline:
    """A context manager around running programs; leaving it on an error ends them all.

    commands: argument lists, the output of each is the input of the next; cwd: where they run.
    """

    def __init__(self, *commands, cwd=None, env=None):
        self._commands = commands
        self._cwd = cwd
        self._env = {**os.environ, "LC_ALL": "C", **(env or {})}
        self._processes = []
        self._logs = []
        self.moved = 0

    def __enter__(self):
        source = subprocess.PIPE
        try:
            for command in self._commands:
                # What programs say goes to a file: a pipe that nobody reads would stop them.
                log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
                self._logs.append(log)
                LOG.debug("Running %s", command)
                process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=log, cwd=self._cwd,
                                           env=self._env, bufsize=0)
                with contextlib.suppress(OSError):
                    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
                if self._processes:
                    source.close()
                self._processes.append(process)
                source = process.stdout
        except OSError as error:
            self._end()
            raise operating_system.ProcessError(command=command[0], code="not started", stderr=error) from error
        return self

    def __exit__(self, kind, error, trace):
        self._end()

    def _end(self):
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            if process.poll() is None:
                process.kill()
            process.wait()
        for log in self._logs:
            log.close()

    def output(self, size):
        """What comes out of the last program, in blocks (memoryview) of ``size`` bytes; the last one may be shorter.

        Two buffers take turns: a block is valid until the one after the next is asked for.
        Raises ProcessError when a program fails or hangs; only when the iterator has ended all is well.
        """
        self._processes[0].stdin.close()
        pipe = self._processes[-1].stdout
        view, other, filled = memoryview(bytearray(size)), memoryview(bytearray(size)), 0
        while True:
            self._wait(pipe, select.POLLIN)
            count = pipe.readinto(view[filled:])
            if not count:
                break
            filled += count
            self.moved += count
            if filled == size:
                yield view
                view, other, filled = other, view, 0
        self.finish()
        if filled:
            yield view[:filled]

    def feed(self, blocks):
        """Put bytes into the first program until ``blocks`` ends. Raises ProcessError when a program fails or hangs."""
        pipe = self._processes[0].stdin
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        os.set_blocking(pipe.fileno(), False)
        try:
            for block in blocks:
                view = memoryview(block)
                while view:
                    self._wait(pipe, select.POLLOUT)
                    with contextlib.suppress(BlockingIOError):
                        count = os.write(pipe.fileno(), view)
                        self.moved += count
                        view = view[count:]
            pipe.close()
        except BrokenPipeError:
            pass  # the program has ended before its input; it says why
        self.finish()

    def _wait(self, pipe, event):
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(CONF.backup_idle_timeout * 1000):
            raise operating_system.ProcessError(
                command=self._names(), code="deadline",
                stderr=f"it moved nothing for {CONF.backup_idle_timeout} s (option backup_idle_timeout)")

    def _names(self):
        return " | ".join(Path(command[0]).name for command in self._commands)

    def finish(self):
        """Wait for the end of all programs. Raises ProcessError for the first that failed."""
        if not self._processes[-1].stdout.closed:
            self._drain(self._processes[-1].stdout)
        failed = []
        for number, (command, process) in enumerate(zip(self._commands, self._processes, strict=True)):
            try:
                code = process.wait(CONF.backup_idle_timeout)
            except subprocess.TimeoutExpired:
                raise operating_system.ProcessError(
                    command=command[0], code="deadline",
                    stderr=f"it did not end within {CONF.backup_idle_timeout} s") from None
            if code:
                failed.append((code == -13, number, command, code))
        if failed:
            # One that was ended by a broken pipe only suffered from another's death.
            _, number, command, code = min(failed)
            raise operating_system.ProcessError(command=command[0], code=f"code {code}",
                                                stderr=self.said(number)[-1000:])

    def _drain(self, pipe):
        while True:
            self._wait(pipe, select.POLLIN)
            if not pipe.read(_PIPE_SIZE):
                return

    def said(self, number):
        """The end of what a program wrote to its standard error."""
        log = self._logs[number]
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - 64 * 1024))
        return log.read().decode(errors="replace").strip()
