"""New secrets for a guest that runs: key, broker account and certificate of its next generation."""
from oslo_log import log as logging

from trove.common import exception, sealing
from trove.db import guest_secrets, keys
from trove.instance.models import DBInstance
from trove.taskmanager.steps import bus, files

LOG = logging.getLogger(__name__)


def make(work):
    """Choose the generation to give out and make its account; the secrets in use stay valid."""
    if "generation" not in work.data:
        with work.reading() as session:
            generation, pending = guest_secrets.generations(session, work.resource_id)
        if not (work.args["renew"] or pending):
            work.note(generation=generation)  # only what an earlier rotation left is to be removed
            return
        with work.writing() as session:
            work.data["generation"] = guest_secrets.renew(session, work.resource_id)
            work.write(session)
    if not _is_in_use(work):
        bus.create_next_account(work)


def deliver(work):
    """Let the guest replace its files; it is asked again until it has done that."""
    generation = work.data["generation"]
    if _is_in_use(work):
        return None
    with work.reading() as session:
        current, _ = guest_secrets.generations(session, work.resource_id)
    contents, until = files.of_secrets(work, generation)
    work.note(certificate_until=until)
    sealed = sealing.seal(keys.guest_key(work.resource_id, current), list(contents.items()))
    try:
        work.guest(work.resource_id).rotate_secrets(generation, sealed)
    except exception.GuestTimeout:
        LOG.info("instance %s: its guest did not take its new secrets in time and is asked again", work.resource_id)
        return work.again()
    except exception.Conflict as error:
        LOG.info("instance %s: its guest takes no new secrets now: %s", work.resource_id, error)
        return work.again()
    return None


def wait_until_heard(work):
    """Look again until the guest was heard with its new secrets, which ends the old key."""
    if not _is_in_use(work):
        return work.again()
    if "certificate_until" in work.data:
        with work.writing() as session:
            guest_secrets.record_certificate(session, work.resource_id, work.data["certificate_until"])
    return None


def certify_server(work):
    """Give the database server of the guest a certificate for its addresses; no server is restarted for it.

    A server that cannot take it is of use all the same: that is logged.
    """
    with work.reading() as session:
        addresses = [each["address"] for each in DBInstance.get(session, work.resource_id).address_list]
        generation, _ = guest_secrets.generations(session, work.resource_id)
    certificate = files.server_certificate(work.resource_id, [work.resource_id, *addresses])
    if certificate is None:
        return None
    sealed = sealing.seal(keys.guest_key(work.resource_id, generation), certificate)
    try:
        work.guest(work.resource_id).install_certificate(sealed)
    except exception.GuestTimeout:
        LOG.info("instance %s: its guest did not take its server's certificate in time and is asked again",
                 work.resource_id)
        return work.again()
    except (exception.GuestError, exception.DatastoreOperationNotSupported) as error:
        LOG.warning("instance %s: its server has no new certificate: %s", work.resource_id, error)
    return None


def _is_in_use(work):
    with work.reading() as session:
        return guest_secrets.generations(session, work.resource_id)[0] >= work.data["generation"]
