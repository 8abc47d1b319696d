"""What is made of the deployment's keys: different for each, and short enough for where it goes."""
from trove.taskmanager.steps import replication

ONE, OTHER = "0a0a0a0a-0000-4000-8000-00000000000a", "0b0b0b0b-0000-4000-8000-00000000000b"


def test_the_account_of_a_replica_fits_the_servers(conf):
    conf.set_override("operation_key", "k" * 43)
    one, other = replication.account(ONE), replication.account(OTHER)
    assert one == replication.account(ONE)
    assert one["user"] != other["user"]
    assert one["password"] != other["password"]
    assert len(one["user"]) <= 32  # MySQL's limit for both
    assert len(one["password"]) == 32
    conf.set_override("operation_key", "l" * 43)
    assert replication.account(ONE)["password"] != one["password"]
