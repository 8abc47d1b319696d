"""What is put around each command of the bus: its trace, and the notification that the control plane is to send of it.

Called by the RPC server that ``trove.cmd.guest`` makes.
"""
import contextlib

from oslo_log import log as logging

from trove import rpc
from trove.common import exception
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.conductor import api as conductor_api
from trove.guestagent.common import spans

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def command(context, method):
    """Around a command of the bus. context: the dict that came with it; method: its name."""
    origin = context.get("origin")
    wanted = isinstance(origin, dict) and origin.get("notification")
    with spans.command(context, method):
        try:
            yield
        except Exception as error:
            if wanted:
                _tell(origin, "notify_exc_info", exception.sentence(error), type(error).__name__)
            raise
        if wanted:
            _tell(origin, "notify_end")


def _tell(origin, method, *arguments):
    conductor = conductor_api.API(TroveContext(origin=origin, overwrite=False))
    try:
        getattr(conductor, method)(CONF.guest_id, *arguments)
    except rpc.DeliveryFailure as error:
        LOG.warning("%s: the end of a command could not be told: %s", CONF.guest_id, error)
