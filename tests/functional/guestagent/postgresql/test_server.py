"""The PostgreSQL server of a guest: prepare, status, starting and stopping, configuration."""
import pytest

from trove.common.instance import ServiceStatuses

pytestmark = pytest.mark.slow


def test_prepare_ends_with_a_server_that_runs(agent, reports):
    assert reports.statuses == ["building", "running"]
    with agent.app.session() as session:
        assert session.execute("SELECT rolname FROM pg_authid WHERE rolcanlogin") == [["os_admin"]]
        assert session.execute("SELECT current_setting('search_path')") == [["pg_catalog"]]


def test_status_of_a_server_that_stops_is_killed_and_starts(agent):
    app = agent.app
    app.stop()
    assert app.status.get_actual_db_status() == ServiceStatuses.SHUTDOWN
    app.start()
    assert app.status.get_actual_db_status() == ServiceStatuses.RUNNING
