"""Security events: one safe line each, and every sink gets them."""
import pytest

from trove.common import security


@pytest.mark.parametrize(("given", "shown"), [
    ("plain text", "plain text"),
    ("two\nlines", "two\\nlines"),
    ("\x1b[31mred", "\\x1b[31mred"),
    ("Grüße", "Grüße"),
    ("\u2028", "\\u2028"),
    ("\udcff", "\\udcff"),
    (b"bytes\n", "b'bytes\\n'"),
    (None, "None"),
])
def test_texts_from_outside_stay_on_one_line(given, shown):
    assert security.printable(given) == shown


def test_long_texts_are_cut():
    assert security.printable("x" * 10, longest=4) == "xxxx..."


def test_an_event_is_one_line_and_reaches_the_sinks(caplog, monkeypatch):
    seen = []
    monkeypatch.setattr(security, "_sinks", [seen.append])
    security.report("message.forged", "a\nb", instance_id="i\r\n1", account="guest-1")
    assert [(event.name, event.reason, event.instance_id, event.account) for event in seen] == [
        ("message.forged", "a\\nb", "i\\r\\n1", "guest-1")]
    line = caplog.messages[-1]
    assert "\n" not in line and "message.forged" in line and "guest-1" in line


def test_an_unknown_name_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        security.report("nothing.such", "reason")


def test_a_sink_that_fails_stops_nobody(caplog, monkeypatch):
    seen = []

    def broken(_event):
        raise OSError("full")
    monkeypatch.setattr(security, "_sinks", [broken, seen.append])
    security.report("path.refused", "why")
    assert len(seen) == 1 and "A sink of security events failed" in caplog.text


def test_a_flood_is_counted_but_not_logged_line_by_line(caplog, monkeypatch):
    seen = []
    monkeypatch.setattr(security, "_sinks", [seen.append])
    monkeypatch.setattr(security, "_lines", security._Lines())
    before = security.counts().get("message.flood", 0)
    for _ in range(1000):
        security.report("message.flood", "too much")
    assert len(seen) == 1000 == security.counts()["message.flood"] - before
    assert 50 <= len(caplog.messages) <= 500
    monkeypatch.setattr(security.time, "time", lambda: 1e9)
    security.report("message.flood", "later")
    assert "more events were not logged" in caplog.messages[-1]


def test_escapes_do_not_make_a_text_longer_than_it_may_be():
    assert len(security.printable("\u2028" * 1000, longest=100)) == 103
