"""Removes a set-up: its processes, its cloud, its state directory. Needs no memory of how it was started."""
import shutil
from contextlib import nullcontext

from onebox import cloud, processes
from onebox.settings import SAVED, Settings, derived_prefix, exclusive, load, locate

DRAIN = 5  # seconds for services to end by themselves


def remove(progress, state=None):
    """End and remove everything of a set-up; returns sentences about what is left.

    state: its state directory, the one of this checkout if None.
    """
    state, cache = locate(state)
    with exclusive(state) if state.exists() else nullcontext():
        return _remove(state, cache, progress)


def _remove(state, cache, progress):
    settings = load(state, cache) or Settings(state, cache, derived_prefix(state), "10.64.0.0/16", 8779)
    with progress.step("services"):
        processes.stop(settings, timeout=DRAIN)
    with progress.step("minicloud"):
        cloud.down(settings)
    if (state / SAVED).exists():
        with progress.step("state directory"):
            remove_state(state)
    left = [f"process {pid} ({name})" for pid, name in processes.running(settings).items()]
    return left + ([f"directory {state}"] if (state / SAVED).exists() else [])


def remove_state(state):
    """Remove a state directory, the file that makes it ours last: a removal that was interrupted can be repeated."""
    for entry in sorted(state.iterdir(), key=lambda path: path.name == SAVED):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    state.rmdir()
