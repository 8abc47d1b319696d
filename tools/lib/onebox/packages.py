"""Debian packages that a set-up needs: the missing ones are installed, and their services are not started."""
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from onebox.command import run
from onebox.settings import SetupError

# Guests, volumes, networks, images, the bus, and the client that the tour uses.
CLOUD = ("iproute2", "nftables", "util-linux", "e2fsprogs", "mmdebstrap", "squashfs-tools", "debian-archive-keyring",
         "zstd", "procps", "rabbitmq-server", "python3-venv", "mariadb-client")
# The engines on which the infrastructure database is tested, a browser for the dashboard, a file system that grows
# mounted.
TESTS = ("mariadb-server", "mariadb-backup", "postgresql", "redis-server", "git", "chromium", "chromium-driver",
         "fonts-dejavu-core", "xfsprogs")
POLICY = Path("/usr/sbin/policy-rc.d")


def missing(names):
    """Those of ``names`` that are not installed."""
    listing = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
                             capture_output=True, text=True, check=False, timeout=60).stdout
    installed = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install(names):
    """Install the missing ones of ``names``; returns what was installed."""
    names = missing(names)
    if names:
        if os.geteuid():
            raise SetupError("Packages are missing and only root can install them: " + " ".join(names))
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], timeout=600, environment=environment)
        with _services_stay_down():
            run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *names], timeout=1800,
                environment=environment)
    return names


@contextmanager
def _services_stay_down():
    """Debian starts a service when its package is installed; ours run with configurations of their own instead."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
