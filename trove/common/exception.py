"""Every error of the product, as one tree; ``trove.common.wsgi`` turns it into HTTP by walking an error's classes.

TroveError                      500: a fault of ours, its message stays in the log
+-- BadRequest 400              +-- Unauthorized 401     +-- Forbidden 403      +-- NotFound 404
|   +-- ValidationError         |                        |                      |
|   +-- GuestError              +-- Conflict 409         +-- OverLimit 413      +-- UnsupportedMediaType 415
|   |   +-- GuestTimeout        |                        |   +-- QuotaExceeded  +-- UnprocessableEntity 422
|   |   +-- GuestConflict 409, GuestUnavailable 503      |                      |
|   +-- ...                     +-- NotImplementedHere 501                      +-- ServiceUnavailable 503
"""


class TroveError(Exception):
    """Base of all; subclasses set ``message`` (a %-format over the keyword arguments) and ``code`` (HTTP status)."""

    message = "An unknown error occurred."
    code = 500

    def __init__(self, message=None, **kwargs):
        if message is None:
            message = self.message % kwargs if kwargs else self.message
        self.kwargs = kwargs
        super().__init__(message)


def sentence(error):
    """What is said of an error to those who must not see its traceback."""
    if isinstance(error, TroveError):
        return str(error)
    return f"An unexpected error occurred ({type(error).__name__}); the log says more."


class BadRequest(TroveError):
    """The request cannot be understood or asks for something impossible."""

    message = "The request is not valid."
    code = 400


class ValidationError(BadRequest):
    """A body does not fit its schema."""


class BadValue(BadRequest):
    """One field has a value that cannot be: names the field and what would be right."""

    message = "%(field)s: %(reason)s"


class GuestError(BadRequest):
    """The guest refused or failed a command."""

    message = "The guest could not do it: %(original)s"


class GuestTimeout(GuestError):
    """The guest did not answer in time."""

    message = "The guest did not answer in time."


class DatastoreOperationNotSupported(BadRequest):
    """Raised inside a guest by the base manager for what a datastore cannot do."""

    message = "The '%(operation)s' operation is not supported for the '%(datastore)s' datastore."


class Unauthorized(TroveError):
    """No token or a bad one."""

    message = "Authentication is required."
    code = 401


class Refused(TroveError):
    """What was asked for was refused later than at once, with a code (below 500) of its own."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Forbidden(TroveError):
    """The caller may not do this."""

    message = "You may not do this."
    code = 403


class NotFound(TroveError):
    """No such thing, or not the caller's."""

    message = "The %(resource)s %(id)s does not exist."
    code = 404


class MethodNotAllowed(TroveError):
    """The path exists, the method does not."""

    message = "The method is not allowed for this resource."
    code = 405


class NotAcceptable(TroveError):
    """The Accept header names nothing that we produce."""

    message = "Only application/json can be produced."
    code = 406


class Conflict(TroveError):
    """The thing is in the wrong state for good, or somebody else was faster."""

    message = "The request conflicts with the present state."
    code = 409


class OverLimit(TroveError):
    """Too much: a rate, a quota or a size."""

    message = "The request exceeds a limit."
    code = 413


class MessageTooLarge(OverLimit):
    """Refused before it is sent over the bus."""

    message = ("The message for '%(what)s' is too large for the message bus: it has %(size)s bytes, and option "
               "bus_message_max_size allows %(limit)s. Ask for less at once.")


class QuotaExceeded(OverLimit):
    """A quota would be exceeded; names the resources."""

    message = "Quota exceeded for resources: %(overs)s."


class VolumeSizeExceeded(OverLimit):
    """One volume is larger than volumes may be."""

    message = "volume.size: %(size)s GB is more than the largest volume accepted, %(maximum)s GB."


class UnsupportedMediaType(TroveError):
    """The body is not JSON."""

    message = "The Content-Type must be application/json."
    code = 415


class UnprocessableEntity(TroveError):
    """Understood, but not now: the state of the instance does not allow it."""

    message = "The instance cannot do this now."
    code = 422


class NotImplementedHere(TroveError):
    """This datastore or deployment cannot do it."""

    message = "This is not implemented."
    code = 501


class ServiceUnavailable(TroveError):
    """A service that we depend on does not answer. retry_after: seconds for the header Retry-After, or None."""

    message = "A service that is needed does not answer."
    code = 503
    retry_after: int | None = None


class GuestConflict(GuestError, Conflict):
    """The state of the database server does not allow the command, and only its user can change that."""

    code = 409


class GuestUnavailable(GuestError, ServiceUnavailable):
    """The database server cannot do the command now, and may do it later."""

    code = 503
    retry_after = 30


class CloudError(TroveError):
    """The cloud refused or failed a request for good. The message is shown to the user as the instance's fault."""

    message = "The cloud reported an error: %(reason)s"


class PollTimeOut(TroveError):
    """A wait ran into its deadline, which the message names."""

    message = "%(what)s did not happen within %(seconds)s s (option %(option)s)."
