"""When the system tables of restored data are brought to the version of the server."""
import contextlib
from types import SimpleNamespace

import pytest

from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import dialect, upgrade


@pytest.fixture
def app(tmp_path):
    """A server of 11.8 with data of which another version is noted."""
    server = dialect.Dialect(dialect.MARIADB, (11, 8, 9))
    return SimpleNamespace(layout=SimpleNamespace(data=tmp_path), client_file=tmp_path / "my.cnf",
                           way=lambda: ["--host=127.0.0.1"],
                           session=lambda: contextlib.nullcontext(SimpleNamespace(dialect=server)))


@pytest.mark.parametrize(("wrote", "is_brought"), [("10.11.19", True), ("11.4.2", True), ("11.8.2", False),
                                                   (None, False), ("damaged", False)])
def test_only_data_of_an_older_version_are_brought_to_this_one(app, tmp_path, monkeypatch, wrote, is_brought):
    """Once: the note is gone afterwards."""
    ran = []
    monkeypatch.setattr(operating_system, "run", lambda argv, **_kwargs: ran.append(argv))
    if wrote:
        (tmp_path / upgrade.FILENAME).write_text(wrote)
    for _ in range(2):
        upgrade.carry_out(app, lambda name: f"/usr/bin/{name}")
    assert [argv[0] for argv in ran] == ["/usr/bin/mariadb-upgrade"] * is_brought
    assert not any("password" in argument for argv in ran for argument in argv)


def test_what_failed_is_tried_again(app, tmp_path, monkeypatch):
    """The note stays, also when the agent dies meanwhile."""
    (tmp_path / upgrade.FILENAME).write_text("10.11.19")

    def fail(argv, **_kwargs):
        raise operating_system.ProcessError(command=argv[0], code="code 1", stderr="no")
    monkeypatch.setattr(operating_system, "run", fail)
    with pytest.raises(operating_system.ProcessError):
        upgrade.carry_out(app, lambda name: name)
    assert (tmp_path / upgrade.FILENAME).read_text() == "10.11.19"
