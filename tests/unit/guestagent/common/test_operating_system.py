"""Commands and files as the agent handles them, with real processes."""
import stat

import pytest

from trove.guestagent.common import operating_system as system


def test_output_and_input_are_text():
    assert system.run(["cat"], stdin="a\nü") == "a\nü"
    assert system.run(["sh", "-c", "echo $X"], env={"X": "1"}) == "1\n"


def test_without_input_a_command_gets_none():
    assert system.run(["cat"]) == ""


def test_arguments_are_no_shell():
    assert system.run(["echo", "$(id)", "; true"]) == "$(id) ; true\n"


@pytest.mark.parametrize(("argv", "says"), [
    (["sh", "-c", "echo why >&2; exit 3"], r"sh failed \(code 3\): why"), (["/no/such"], "not started"),
])
def test_failures_name_the_command_and_what_it_said(argv, says):
    with pytest.raises(system.ProcessError, match=says):
        system.run(argv)


def test_allowed_codes_are_no_failure():
    assert system.run(["sh", "-c", "exit 3"], ok=(0, 3)) == ""


def test_a_command_that_hangs_is_ended():
    with pytest.raises(system.ProcessError, match="not done after 0.1 s"):
        system.run(["sleep", "60"], timeout=0.1)


def test_files_are_replaced_as_a_whole(tmp_path):
    path = tmp_path / "f"
    path.write_text("old and longer")
    path.chmod(0o644)
    with path.open() as before:
        system.write_file(path, "new", mode=0o600)
        assert before.read() == "old and longer"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(KeyError):
        system.write_file(path, "new", owner="no-such-user")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_link_of_an_alternative_is_replaced_not_followed(tmp_path):
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "link").symlink_to("target")
    system.write_file(tmp_path / "link", "ours")
    assert (tmp_path / "target").read_text() == "theirs"
    assert (tmp_path / "link").read_text() == "ours"


def test_a_file_that_is_not_there_is_none(tmp_path):
    assert system.read_file(tmp_path / "f") is None


def test_copies_keep_modes_and_leave_out(tmp_path):
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "f").write_text("x")
    (source / "a" / "f").chmod(0o640)
    (source / "data.new").mkdir()
    system.copy_tree(source, tmp_path / "target", without=("data.new",))
    assert [entry.name for entry in (tmp_path / "target").iterdir()] == ["a"]
    assert stat.S_IMODE((tmp_path / "target/a/f").stat().st_mode) == 0o640
    system.remove_tree(tmp_path / "target")
    system.remove_tree(tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_state_directory_is_for_the_agent_only(conf, tmp_path):
    conf.set_override("guest_state_dir", str(tmp_path / "a" / "state"))
    assert stat.S_IMODE(system.state_dir().stat().st_mode) == 0o700
