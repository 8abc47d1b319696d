"""Packages of the guest's distribution. Images carry what their datastore needs, so there is mostly nothing to do."""
import shutil

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system

LOG = logging.getLogger(__name__)


class PackageError(exception.TroveError):
    """A package is missing and cannot be installed."""

    message = "The packages %(packages)s are missing in the guest: %(reason)s"


def missing(packages):
    """Those of ``packages`` (``name`` or ``name=version``) that are not installed."""
    return [package for package in packages if not _is_installed(package)]


def _is_installed(package):
    name, _, version = package.partition("=")
    said = operating_system.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}\n", name], ok=(0, 1))
    for line in said.splitlines():
        status, _, installed = line.partition(" ")
        if status == "installed" and (not version or installed == version):
            return True
    return False


def install(packages):
    """Install what is missing of ``packages`` (names). Raises PackageError."""
    packages = [package for package in packages if package]
    if not packages:
        return
    if not shutil.which("dpkg-query"):
        raise PackageError(packages=", ".join(packages), reason="this image has no dpkg; put them into the image.")
    wanted = missing(packages)
    if not wanted:
        return
    LOG.info("Installing %s", wanted)
    try:
        operating_system.run(
            ["apt-get", "install", "--yes", "--no-install-recommends", "-o",
             f"DPkg::Lock::Timeout={CONF.package_install_timeout}", "-o", "Dpkg::Options::=--force-confold", "--",
             *wanted],
            timeout=CONF.package_install_timeout, env={"DEBIAN_FRONTEND": "noninteractive"})
    except operating_system.ProcessError as error:
        raise PackageError(packages=", ".join(wanted), reason=str(error)) from error
