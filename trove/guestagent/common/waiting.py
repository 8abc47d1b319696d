"""The one way in which the agent waits for something in its guest: look, pause, look again, until a deadline."""
import time

from trove.common import exception
from trove.common.cfg import CONF


def wait_until(predicate, what, option="state_change_wait_time", seconds=None, pause=0.05, longest=None):
    """Call ``predicate`` until it returns something true, and return that. It is called at least once.

    what: the event, as the subject of the error, or a function that returns it; option: name of the option that bounds
    the wait; seconds: the bound, the value of ``option`` if None; pause: seconds between two calls, which grow by half
    each time up to ``longest`` if that is given. Raises PollTimeOut that names the option.
    """
    seconds = CONF[option] if seconds is None else seconds
    deadline = time.monotonic() + seconds
    while not (found := predicate()):
        left = deadline - time.monotonic()
        if left <= 0:
            raise exception.PollTimeOut(what=what() if callable(what) else what, seconds=seconds, option=option)
        # The last look comes at the deadline, not before it.
        time.sleep(min(pause, left))
        if longest is not None:
            pause = min(pause * 1.5, longest)
    return found
