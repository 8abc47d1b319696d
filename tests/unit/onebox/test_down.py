"""Removing a state directory can be interrupted and repeated."""
import pytest
from onebox import down
from onebox.settings import SAVED


def test_the_file_that_makes_it_ours_goes_last(tmp_path, monkeypatch):
    """Otherwise an interrupted removal would leave a directory that nobody dares to touch."""
    state = tmp_path / "run"
    (state / "cloud/deep").mkdir(parents=True)
    for name in (SAVED, "a", "z", "cloud/deep/file"):
        (state / name).write_text("x")

    def interrupted(_path):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(down.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            down.remove_state(state)
    assert (state / SAVED).exists()
    down.remove_state(state)
    assert not state.exists()
