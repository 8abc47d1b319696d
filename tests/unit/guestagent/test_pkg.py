"""Packages: nothing is installed that is there, and what is missing is named."""
import pytest

from trove.guestagent import pkg
from trove.guestagent.common import operating_system


@pytest.fixture
def commands(monkeypatch):
    """The commands other than the questions to dpkg; they fail."""
    run = operating_system.run
    seen = []

    def record(argv, **kwargs):
        if argv[0] == "dpkg-query":
            return run(argv, **kwargs)
        seen.append(argv)
        raise operating_system.ProcessError(command=argv[0], code="code 100", stderr="no network")
    monkeypatch.setattr(operating_system, "run", record)
    return seen


def test_what_is_there_is_left_alone(commands):
    pkg.install(["coreutils", ""])
    pkg.install([])
    assert commands == []


def test_what_is_missing_is_installed_and_named_when_that_fails(commands):
    with pytest.raises(pkg.PackageError, match="trove-no-such-package are missing in the guest: .*no network"):
        pkg.install(["coreutils", "trove-no-such-package"])
    assert commands[0][:3] == ["apt-get", "install", "--yes"]
    assert commands[0][-2:] == ["--", "trove-no-such-package"]


def test_another_version_is_missing():
    assert pkg.missing(["coreutils=0.0.0", "coreutils"]) == ["coreutils=0.0.0"]


def test_an_image_without_dpkg_says_so(monkeypatch):
    monkeypatch.setattr(pkg.shutil, "which", lambda name: None)
    with pytest.raises(pkg.PackageError, match="no dpkg"):
        pkg.install(["coreutils"])
    pkg.install([])
