"""Profiling is off unless the operator sets it up with a key of his own."""
import pytest

from trove.common import profile


def passes(environ, start_response):
    start_response("200 OK", [])
    return [b""]


def test_off_it_is_not_in_the_way(conf):
    assert profile.filter_factory({})(passes) is passes
    profile.setup("api", "host-1")


@pytest.mark.parametrize("key", [None, "SECRET_KEY"])
def test_the_well_known_key_is_refused(conf, key):
    conf.set_override("enabled", True, group="profiler")
    if key:
        conf.set_override("hmac_keys", key, group="profiler")
    with pytest.raises(SystemExit, match="hmac_keys"):
        profile.setup("api", "host-1")


def test_on_it_wraps_the_rest(conf):
    conf.set_override("enabled", True, group="profiler")
    conf.set_override("hmac_keys", "a key of my own", group="profiler")
    wrapped = profile.filter_factory({})(passes)
    assert wrapped is not passes
    assert wrapped.application is passes
