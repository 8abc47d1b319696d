"""Valkey, out of its guest image: the datastore of a package of its own, contrib/trove-valkey."""
import contextlib
import os

import pytest
from onebox import datastores
from tests.engines import redis

from tests import programs

_PROGRAMS = {"usr/bin/valkey-server": "", "usr/bin/valkey-check-rdb": ""}


class Engine(redis.Engine):
    """See the base."""

    @contextlib.contextmanager
    def programs(self):
        """See the base."""
        with programs.of(self.version, _PROGRAMS) as root, pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{root / 'usr/bin'}:{os.environ['PATH']}")
            yield


def engines():
    """Return the Engine of each version, the default first."""
    return [Engine(version) for version in datastores.versions("valkey")]
