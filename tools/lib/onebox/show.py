"""What the tools print while they work: steps with the seconds they took, on standard error.

Standard output is for results: a closing text for people, or JSON.
"""
import sys
import time
from contextlib import contextmanager


class Progress:
    """Steps of a run: ``with progress.step("name"):`` prints a line when it begins and the seconds when it ends."""

    def __init__(self, stream=sys.stderr):
        self.stream = stream
        self.seconds = {}

    @contextmanager
    def step(self, name):
        """Time one step; a failure is shown as such and passes through."""
        begun = time.monotonic()
        self._write(f"... {name}", live=True)
        try:
            yield
        except BaseException:
            self._write(f"FAILED  {name} ({time.monotonic() - begun:.1f} s)\n")
            raise
        self.seconds[name] = round(time.monotonic() - begun, 2)
        self._write(f"ok      {name} ({self.seconds[name]:.1f} s)\n")

    def operation(self, operation):
        """Show the operation of an instance: each step once when it is over, the current one while it lasts.

        operation: as ``instance.newest_operation`` returns it.
        """
        for step in operation["steps"]:
            name = f"m1: {step['name']}"
            if name not in self.seconds:
                self.seconds[name] = step["seconds"]
                self._write(f"        {step['name']} ({step['seconds']:.1f} s)\n")
        if operation["state"] == "running":
            self._write(f"...     {operation['step']} ({operation['seconds']:.1f} s since the start)", live=True)

    def say(self, text):
        """A line of its own."""
        self._write(text + "\n")

    def _write(self, text, live=False):
        """Live text is replaced by what comes next, and shown only on a terminal."""
        if self.stream.isatty():
            self.stream.write(f"\r\033[K{text}")
        elif not live:
            self.stream.write(text)
        self.stream.flush()
