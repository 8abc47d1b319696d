"""Operations that outlive their request: a bounded pool of threads working off what the store remembers.

An API handler adds an operation in the transaction that changes the resource; nothing runs before that is committed.
Work must be safe to repeat: after kill -9 :meth:`Jobs.start` runs again whatever was not finished.
"""

import collections
import contextlib
import logging
import queue
import threading
import time

LOG = logging.getLogger(__name__)
STOP_SECONDS = 8  # that running operations get to end; the rest of them is done at the next start


class Jobs:
    """The pool. Operations of one resource run one after another, in the order in which they were added: each resource
    has a line of its own, and that is its lock.
    """

    def __init__(self, store, workers=8):
        self.store = store
        self._work = {}
        self._merged = set()
        self._waiting = collections.defaultdict(collections.deque)
        self._mutex = threading.Lock()
        self._queue = queue.SimpleQueue()
        self._idle = threading.Condition(self._mutex)
        self._unfinished = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"job-{n}", daemon=True) for n in range(workers)
        ]

    def register(self, name, run, fail, merge=False):
        """Say what an operation does.

        :param run: called as run(resource_id, **args); whatever it raises goes to ``fail``.
        :param fail: called as fail(resource_id, error, **args); records the failure on the resource.
        :param merge: one run serves all equal ones that wait behind it. For operations that bring something into
            the state that the records say, however often the records changed.
        """
        self._work[name] = (run, fail)
        if merge:
            self._merged.add(name)

    def start(self):
        """Start the threads and take up what an earlier process left unfinished."""
        for thread in self._threads:
            thread.start()
        for number, name, resource_id, args in self.store.operations():
            LOG.warning("resuming operation %s of %s", name, resource_id)
            self._submit(number, name, resource_id, args)

    def stop(self):
        """Let running operations end; waiting ones stay in the store for the next start."""
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0, deadline - time.monotonic()))

    @contextlib.contextmanager
    def transaction(self):
        """A store transaction; yields add(name, resource_id, **args). What was added starts after the commit."""
        added = []

        def add(name, resource_id, **args):
            added.append((self.store.add_operation(name, resource_id, args), name, resource_id, args))

        with self.store.transaction():
            yield add
        for operation in added:
            self._submit(*operation)

    def wait_idle(self, timeout):
        """Block until nothing is queued or running; says whether that came true within ``timeout`` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._unfinished, timeout)

    def _submit(self, number, name, resource_id, args):
        with self._mutex:
            self._unfinished += 1
            line = self._waiting[resource_id]
            line.append((number, name, resource_id, args))
            if len(line) == 1:
                self._queue.put(resource_id)

    def _serve(self):
        while (resource_id := self._queue.get()) is not None:
            if self._stopping:
                return
            operation, also = self._next(resource_id)
            try:
                self._run(*operation, also)
            finally:
                with self._mutex:
                    line = self._waiting[resource_id]
                    line.popleft()
                    if line:
                        self._queue.put(resource_id)
                    else:
                        del self._waiting[resource_id]
                    self._unfinished -= 1
                    self._idle.notify_all()

    def _next(self, resource_id):
        """The operation at the head of a line, and the numbers of those behind it that its run serves too."""
        with self._mutex:
            line = self._waiting[resource_id]
            head = line[0]
            merged = [o for o in list(line)[1:] if o[1:] == head[1:]] if head[1] in self._merged else []
            for operation in merged:
                line.remove(operation)
            self._unfinished -= len(merged)
            return head, [operation[0] for operation in merged]

    def _run(self, number, name, resource_id, args, also):
        run, fail = self._work[name]
        try:
            run(resource_id, **args)
        except Exception as error:
            # A boundary: whatever went wrong belongs to the resource, not to this thread.
            LOG.exception("%s of %s failed", name, resource_id)
            try:
                fail(resource_id, error, **args)
            except Exception:
                LOG.exception("could not record the failure of %s of %s", name, resource_id)
                return  # stays in the store: the next start tries again
        with self.store.transaction():
            for finished in (number, *also):
                self.store.remove_operation(finished)
