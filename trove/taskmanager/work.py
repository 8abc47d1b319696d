"""The operation as its runner and its steps have it in hand: arguments, notes, the trace, and the door to the database.

Made by ``taskmanager.flow`` for each look at an operation; every write fails once somebody else holds it.
"""
import contextlib
import json
import time
from dataclasses import dataclass

from trove.common import profile, remote
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.db import get_db_api
from trove.instance.models import manager_of
from trove.operation import models

SHORTEST_PAUSE = 0.1


@dataclass(frozen=True)
class Again:
    """The answer of a step that is not done yet: look again in ``seconds``."""

    seconds: float


class LeaseLost(Exception):
    """Somebody else holds the operation by now, or it has ended: this process must not touch it any more."""


class Work:
    """What a step is given: the operation, its arguments, its notes and the door to the database.

    data: the notes, a dict that outlives the process; written by ``writing`` and after each step.
    """

    def __init__(self, operation, owner, now):
        self.operation = operation
        self.args = operation.args
        self.data = operation.data
        self.context = TroveContext.from_dict(operation.request)
        self.resource_id = operation.resource_id
        self._owner = owner
        self._clock = now - time.monotonic()

    def now(self):
        """Seconds since the epoch by the database's clock."""
        return self._clock + time.monotonic()

    @property
    def waited(self):
        """Seconds since the present step was entered."""
        return self.now() - self.data["since"]

    def again(self):
        """The usual pause: a tenth of what was waited so far, between SHORTEST_PAUSE and usage_sleep_time."""
        return Again(max(SHORTEST_PAUSE, min(self.waited / 10, CONF.usage_sleep_time)))

    def secrets(self):
        """The secret arguments. Raises TroveError when they cannot be decrypted."""
        return self.operation.load_secrets()

    def option(self, name):
        """The value of an option, of the group of the operation's datastore if that has it."""
        group = self.args.get("datastore", {}).get("manager")
        if group and group in CONF and name in CONF[group]:
            return CONF[group][name]
        return CONF[name]

    def trace(self, *path):
        """What comes below the operation, or below its step ``path``, in the trace of its request; None without one."""
        begun = self.operation.request.get("trace_info")
        return begun and {"base_id": begun["base_id"], "parent_id": self._node(begun, *path)}

    def _node(self, begun, *path):
        return profile.span_id(begun["base_id"], self.operation.id, *path)

    def report_step(self, name, error=None):
        """Tell the trace of a step that has ended, or been undone, just now."""
        below = self.trace()
        if below:
            profile.report(below, "step", self.data["since"], self.now(), node=self.trace(name)["parent_id"],
                           info={"step": name, **({"error": error} if error else {})})

    def report_end(self, state):
        """Tell the trace of an operation that has ended just now."""
        begun = self.operation.request.get("trace_info")
        if begun:
            operation = self.operation
            profile.report(begun, "operation", operation.created_at, self.now(), node=self._node(begun), info={
                "kind": operation.kind, "resource": operation.resource_id, "operation": operation.id, "state": state})

    @staticmethod
    def reading():
        """A session in which a step reads rows."""
        return get_db_api().reader()

    @contextlib.contextmanager
    def writing(self, **columns):
        """A transaction in which a step writes rows; notes and ``columns`` of the operation are written with it.

        Raises LeaseLost, and writes nothing, when the operation is not held any more.
        """
        with get_db_api().writer() as session:
            yield session
            self.write(session, **columns)

    def write(self, session, **columns):
        """Write the notes and ``columns`` of the operation in a transaction. Raises LeaseLost."""
        if not models.update_held(session, self.operation.id, self._owner, step_data=json.dumps(self.data), **columns):
            raise LeaseLost(self.operation.id)

    def note(self, **values):
        """Keep ``values`` in the notes before going on. Raises LeaseLost."""
        self.data.update(values)
        with self.writing():
            pass

    def guest(self, instance_id):
        """Return the client that sends commands to the guest of an instance, with those of its datastore."""
        with self.reading() as session:
            manager = manager_of(session, instance_id)
        return remote.guest_client(self.context, instance_id, manager)

    def members(self):
        """Return a Member for each replica that takes part ("replicas" of the arguments: {id: its own arguments})."""
        # Operations of an earlier release have none.
        given = self.args.get("replicas", {})
        return [Member(self, instance_id, given[instance_id]) for instance_id in sorted(given)]


class Member:
    """The Work as a step sees it that works on one replica among several: with an id, arguments and notes of its own.

    given: arguments that take the place of the operation's.
    """

    def __init__(self, work, instance_id, given):
        self._work = work
        self.resource_id = instance_id
        self.args = {**work.args, **given}
        self.data = work.data.setdefault("members", {}).setdefault(instance_id, {})

    def __getattr__(self, name):
        return getattr(self._work, name)

    def note(self, **values):
        """Keep ``values`` in the notes of the replica before going on. Raises LeaseLost."""
        self.data.update(values)
        self._work.note()
