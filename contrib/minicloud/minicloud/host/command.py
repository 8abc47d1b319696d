"""Runs the system's own tools (ip, nft) for the daemon. Argument lists only."""

from __future__ import annotations

import subprocess

from minicloud.host.client import HostError

TIMEOUT = 30  # seconds; these tools answer in milliseconds unless the machine is drowning


def run(argv: list[str], stdin: str = "") -> str:
    """Run a tool and return its output. Raises HostError("failed") with the tool's own words."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise HostError("failed", f"{argv[0]} is not installed; see `minicloud doctor`") from None
    except subprocess.TimeoutExpired:
        raise HostError("failed", f"{' '.join(argv)} did not finish in {TIMEOUT} s") from None
    if done.returncode:
        raise HostError("failed", f"{' '.join(argv)}: {done.stderr.strip()[-500:]}")
    return done.stdout
