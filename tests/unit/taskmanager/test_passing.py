"""What is said of errors that pass: in the log not at every try, to users not in the words of a library."""
import pytest
import requests
from keystoneauth1 import exceptions as keystone

from trove.common import exception
from trove.taskmanager import passing

RAW = "HTTPConnectionPool(host='10.0.0.1', port=8774): Max retries exceeded with url: /v2.1/servers"


def of_request():
    error = requests.ConnectionError(RAW)
    error.request = requests.Request("GET", "http://10.0.0.1:8774/v2.1/servers?x=1").prepare()
    return error


@pytest.mark.parametrize(("error", "said"), [
    (of_request(), "Nothing answers at http://10.0.0.1:8774 (ConnectionError)."),
    (keystone.ConnectFailure(f"Unable to establish connection to https://10.0.0.1:5000/v3/auth/tokens: {RAW}"),
     "Nothing answers at https://10.0.0.1:5000 (ConnectFailure)."),
    (OSError("https://trove:pw@10.0.0.1:15672/api: refused"), "Nothing answers at https://10.0.0.1:15672 (OSError)."),
    (exception.ServiceUnavailable("gone fishing"), "gone fishing"),
    (keystone.ServiceUnavailable("the queue is full"), "the queue is full (HTTP 503)"),
    (ValueError("SELECT secret FROM operations"), "An unexpected error occurred (ValueError); the log says more.")])
def test_in_words(error, said):
    assert passing.describe(error) == said


def test_users_are_told_no_address():
    assert passing.describe(of_request(), where=False) == (
        "Nothing answers where a service of the cloud should (ConnectionError).")


def test_the_log_is_told_once_a_minute_and_how_often_it_was(monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(passing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(passing, "_said", {})

    def said():
        passing.log("toy", "o-1", "one", exception.ServiceUnavailable("gone fishing"))
        found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        caplog.clear()
        return found
    assert said() == ["toy: step one met a passing error and is tried again: gone fishing"]
    assert said() == said() == []
    passing.log("toy", "o-1", "two", exception.ServiceUnavailable("gone fishing"))
    assert len(said()) == 1  # of the other step
    now[0] += 61
    assert said() == ["toy: step one met a passing error and is tried again (3 more times since this was last said): "
                      "gone fishing"]
    now[0] += 3600
    passing.log("toy", "o-2", "one", exception.ServiceUnavailable("gone fishing"))
    assert list(passing._said) == [("o-2", "one")]
