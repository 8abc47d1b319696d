"""What replicas say of themselves, read and compared: positions, sets of transactions, health."""
import pytest

from trove.common import exception
from trove.guestagent.strategies.replication import mysql_base, mysql_binlog, mysql_gtid
from trove.guestagent.strategies.replication.experimental import mariadb_gtid

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(("sets", "count"), [
    ([], 0), ([""], 0), ([None], 0), ([f"{A}:1"], 1), ([f"{A}:1-5"], 5), ([f"{A}:1-5:7-9:11"], 9),
    ([f"{A}:1-5,{B}:1-2"], 7), ([f"{A}:1-5", f"{A}:4-8"], 8), ([f"{A}:1-5", f"{A}:1-5"], 5),
    ([f"{A}:1-5,\n{B}:3"], 6), ([f"{A}:1-5:night:1-2"], 7), ([f"{A}:night:1-2", f"{A}:2-3"], 4)])
def test_transactions_of_mysql_are_counted_once(sets, count):
    assert mysql_gtid.count_transactions(sets) == count


@pytest.mark.parametrize(("position", "count"), [("", 0), ("0-1-270", 270), ("0-1-270,1-2-5", 275)])
def test_positions_of_mariadb_grow(position, count):
    assert mariadb_gtid.count_transactions(position) == count


@pytest.mark.parametrize(("text", "found"), [
    ("binlog.000002\t330\t0-1-270\n", "0-1-270"), ("binlog.000002\t330\t\n", ""), ("binlog.000002\t330\n", ""),
    (f"binlog.000002\t330\t{A}:1-5,\n{B}:1\n", f"{A}:1-5,{B}:1"), ("", ""), (None, "")])
def test_the_set_that_a_copy_was_taken_at(text, found):
    assert mysql_gtid.of_position(text) == found


def test_positions_in_a_log():
    assert mysql_binlog.parse("binlog.000002:330") == ("binlog.000002", 330)
    for wrong in ("", None, "binlog.000002", ":330", "binlog:"):
        with pytest.raises(exception.BadValue, match="log_position"):
            mysql_binlog.parse(wrong)


@pytest.mark.parametrize(("status", "health"), [
    ({}, None),
    ({"Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes", "Seconds_Behind_Master": 3},
     {"running": True, "lag": 3, "error": None}),
    ({"Slave_IO_Running": "Connecting", "Slave_SQL_Running": "Yes", "Seconds_Behind_Master": None,
      "Last_IO_Errno": 2003, "Last_IO_Error": "Can't connect"},
     {"running": False, "lag": None, "error": "the source cannot be reached, error 2003"}),
    ({"Slave_IO_Running": "Yes", "Slave_SQL_Running": "No", "Last_IO_Errno": 0, "Last_IO_Error": "",
      "Last_SQL_Errno": 1062, "Last_SQL_Error": "Could not execute Write_rows event on table shop.t; Duplicate entry "
                                                "'secret' for key 'PRIMARY'"},
     {"running": False, "lag": None,
      "error": "the source inserted a row that the replica has already (table shop.t), error 1062"})])
def test_health(status, health):
    assert mysql_base.health_of(status) == health
