"""The words for the states of a log."""
import json

import pytest

from trove.guestagent import logs


@pytest.mark.parametrize(("kind", "enabled", "exists", "published", "pending", "rotated", "word"), [
    ("USER", False, False, 0, 0, False, "Disabled"), ("USER", False, True, 5, 5, False, "Disabled"),
    ("USER", True, False, 0, 0, False, "Enabled"), ("USER", True, True, 0, 0, False, "Enabled"),
    ("SYS", True, False, 0, 0, False, "Unavailable"), ("SYS", True, True, 0, 5, False, "Ready"),
    ("USER", True, True, 5, 0, False, "Published"), ("USER", True, True, 5, 5, False, "Partial"),
    ("USER", True, True, 5, 5, True, "Rotated")])
def test_status(kind, enabled, exists, published, pending, rotated, word):
    assert logs.status(kind, enabled, exists, published, pending, rotated) == word


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"general": 1}', '{"general": {"unknown": 1}}'])
def test_a_damaged_file_of_progress_is_no_obstacle(conf, tmp_path, text):
    conf.set_override("guest_state_dir", str(tmp_path))
    (tmp_path / "logs.json").write_text(text)
    assert logs._load() == {}
    logs._save({"general": logs.Progress(1, 2, 3, ["log-1", 4])})
    assert logs._load() == {"general": logs.Progress(1, 2, 3, ["log-1", 4])}
    assert json.loads((tmp_path / "logs.json").read_text())["general"]["offset"] == 2
