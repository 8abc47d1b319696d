"""Microversions as Nova and Cinder do them: the header that chooses, the answers that tell what was chosen."""

import re

from minicloud.api.web import Fault

_VERSION = re.compile(r"^([1-9]\d*)\.(0|[1-9]\d*)$")


class Microversions:
    """The range of one service.

    :param service: its word in ``OpenStack-API-Version: <service> <version>``
    :param legacy: an older header with the bare version, or None
    """

    def __init__(self, service, minimum, maximum, legacy=None):
        self.service, self.minimum, self.maximum, self.legacy = service, minimum, maximum, legacy

    def choose(self, request):
        """The version of a request. :raises Fault: 400 malformed, 406 not offered"""
        wanted = None
        for part in request.headers.get("OpenStack-API-Version", "").split(","):
            name, _, value = part.strip().partition(" ")
            if name == self.service:
                wanted = value.strip()
        if wanted is None and self.legacy:
            wanted = request.headers.get(self.legacy)
        if wanted is None:
            return self.minimum
        if wanted == "latest":
            return self.maximum
        match = _VERSION.match(wanted)
        if not match:
            raise Fault(
                400, f"API Version String {wanted} is of invalid format. Must be of format MajorNum.MinorNum."
            )
        version = (int(match[1]), int(match[2]))
        if not self.minimum <= version <= self.maximum:
            raise Fault(
                406,
                f"Version {wanted} is not supported by the API. Minimum is {text(self.minimum)} and maximum is "
                f"{text(self.maximum)}.",
            )
        return version

    def stamp(self, request, response):
        """Say in the answer which version it has."""
        names = ["OpenStack-API-Version", *([self.legacy] if self.legacy else [])]
        if request.version:
            response.headers["OpenStack-API-Version"] = f"{self.service} {text(request.version)}"
            if self.legacy:
                response.headers[self.legacy] = text(request.version)
        response.headers["Vary"] = ", ".join(names)


def text(version):
    """(2, 1) as 2.1"""
    return f"{version[0]}.{version[1]}"
