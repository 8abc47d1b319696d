"""Controller of /instances/{id}/root, and how root is enabled where a datastore has no way of its own.

The option ``root_controller`` of a datastore names a DefaultRootController or a subclass of it.
"""
from oslo_log import log as logging

from trove.common import cfg, exception, wsgi
from trove.common.apischema import contract
from trove.common.strategies import strategy
from trove.db import get_db_api, in_transaction
from trove.extensions.common import guest, schema, views
from trove.guestagent.db import models as guest_models
from trove.instance import models

LOG = logging.getLogger(__name__)


@in_transaction
def _note_enabled(session, instance_id, user_id):
    models.record_root_enabled(session, instance_id, user_id)


@in_transaction
def _note_disabled(session, instance_id):
    models.record_root_disabled(session, instance_id)


class DefaultRootController:
    """Root of one server, by the guest; whether it is enabled is told by the history, not by the guest."""

    def enabled(self, loaded):
        """Whether root was enabled and not disabled since."""
        with get_db_api().reader() as session:
            return models.is_root_enabled(session, loaded.id)

    def enable(self, context, loaded, password):
        """Enable root with a password (None: a fresh one). Returns {"name", "password"}."""
        client = guest.client(context, loaded)
        user = client.enable_root_with_password(password) if password else client.enable_root()
        # After the guest: if we die between, root is enabled and unknown; the user asks again and gets a new password.
        _note_enabled(loaded.id, context.user_id)
        LOG.info("instance %s: root enabled by user %s", loaded.id, context.user_id)
        return {"name": user["_name"], "password": user["_password"]}

    def disable(self, context, loaded):
        """Disable root. Raises NotFound when it is not enabled."""
        if not self.enabled(loaded):
            raise exception.NotFound(f"Root is not enabled on instance {loaded.id}.")
        guest.client(context, loaded).disable_root()
        _note_disabled(loaded.id)
        LOG.info("instance %s: root disabled by user %s", loaded.id, context.user_id)


class RootController(wsgi.Controller):
    """/instances/{id}/root: hands over to the root controller of the instance's datastore."""

    @contract(answer=views.ROOT_ENABLED, errors=(409, 422, 501, 503))
    def index(self, req, instance_id):
        """Whether root is enabled."""
        loaded, root = self._load(req, instance_id)
        return {"rootEnabled": root.enabled(loaded)}

    @contract(body=schema.enable_root, answer=views.ROOT_USER, errors=(409, 422, 501, 503))
    def create(self, req, instance_id, body):
        """Enable root; a body may name the password."""
        loaded, root = self._load(req, instance_id, guest.load_writable)
        password = body.get("password")
        if password is not None:
            guest_models.of(loaded.manager).check_password(password)
        return {"user": root.enable(req.context, loaded, password)}

    @contract(status=204, errors=(409, 422, 501, 503))
    def delete(self, req, instance_id):
        """Disable root."""
        loaded, root = self._load(req, instance_id, guest.load_writable)
        root.disable(req.context, loaded)

    @staticmethod
    def _load(req, instance_id, load=guest.load_running):
        loaded = load(req.context, instance_id, users=False)
        path = cfg.datastore_options(loaded.manager).root_controller
        if not path:
            raise exception.NotImplementedHere(f"The datastore {loaded.datastore} has no root user.")
        return loaded, strategy.load(path, DefaultRootController, f"[{loaded.manager}] root_controller")()
