"""Logs of m1 with both clients: turned on, written by a real server, published by its guest, read out of Swift.

The era's client reads Swift only with version 2.0 of Keystone and Python 2 (it joins bytes and texts): the newest does.
"""
import pytest


@pytest.fixture
def say(system):
    """Lets the server of m1 answer a SELECT of a text."""
    return lambda text: system.sql(f"SELECT '{text}'", system.m1["host"], system.m1["user"], system.m1["password"])


@pytest.fixture
def general(openstack):
    """The log of all statements, turned on; in the end it is off and nothing of it is published."""
    openstack("database", "log", "set", "m1", "general", "--enable")
    yield
    openstack("database", "log", "set", "m1", "general", "--disable", "--discard")


def test_from_the_server_to_the_user(system, openstack, trove, say, general, tmp_path):
    say("a statement of the scenario")
    listed = {log["Name"]: log for log in openstack.json("database", "log", "list", "m1")}
    assert set(listed) == {"guest", "general", "slow_query"}
    assert (listed["general"]["Status"], listed["slow_query"]["Status"]) == ("Ready", "Disabled")
    assert listed["guest"]["Type"] == "SYS"

    published = trove.fields("log-publish", "m1", "general")
    assert published["container"] == "database_logs"
    assert published["prefix"].startswith(system.m1["id"])
    assert "a statement of the scenario" in openstack("database", "log", "tail", "m1", "general")
    say("one more")
    file = tmp_path / "general.log"
    trove("log-publish", "m1", "general")
    openstack("database", "log", "save", "m1", "general", "--file", str(file))
    assert file.read_text().count("a statement of the scenario") == 1
    assert "one more" in file.read_text()

    trove("log-discard", "m1", "general")
    assert trove.fields("log-show", "m1", "general")["container"] == "None"


def test_the_agents_own_log_says_what_it_did(openstack, tmp_path):
    """The whole of it: what it says of the preparation may be long ago."""
    file = tmp_path / "guest.log"
    openstack("database", "log", "set", "m1", "guest", "--discard", "--publish")
    openstack("database", "log", "save", "m1", "guest", "--file", str(file))
    assert "mariadb is prepared" in file.read_text()
