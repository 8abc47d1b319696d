"""The one way in which tests wait: until something happens, for longer the busier the machine is.

A deadline here ends a test that hangs. It costs nothing while things work, so it measures no speed: a test that wants
to show that something happens soon makes the slow way impossible (a long interval, a call that never ends).
"""
import os

from onebox import processes

PATIENCE = 60  # seconds on a quiet machine, many times what anything takes that has no deadline of its own
MOST = 10


def slowness():
    """Return how many times slower than when quiet this machine is: processes that want to run per core, 1 to MOST."""
    return min(MOST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def wait_until(condition, timeout=PATIENCE, pause=0.05, explain=None):
    """Return the first true value of ``condition()``, asked every ``pause`` seconds.

    Fail the test after ``timeout`` seconds, on a busy machine after as many times that as it is slower; ``explain()``
    is added to the message.
    """
    # The load is looked at when the time is over: its average follows what happens by a minute.
    value = (processes.wait(condition, timeout, pause)
             or processes.wait(condition, timeout * (slowness() - 1), pause))
    if not value:
        more = f":\n{explain()}" if explain else ""
        raise AssertionError(f"not within {timeout} s (load {os.getloadavg()[0]:.1f}): {condition}{more}")
    return value


def end_of(process, timeout=PATIENCE, explain=None):
    """Return the exit status of a subprocess.Popen when it has ended."""
    wait_until(lambda: process.poll() is not None, timeout, explain=explain)
    return process.returncode
