"""What a guest hands back of the request that it was sent by counts only as it was sealed, for it, and for a time."""
import time

import pytest

from trove.common import origin
from trove.common.context import TroveContext

TRACE = {"base_id": "b", "parent_id": "p"}


@pytest.fixture
def sealed(conf):
    return origin.seal("i-1", TroveContext(request_id="req-1", trace_info=TRACE, overwrite=False), 60)


def test_it_comes_back_as_it_was_sealed(sealed):
    assert origin.unseal("i-1", sealed) == ("req-1", TRACE)


@pytest.mark.parametrize("change", [{"request_id": "req-2"}, {"trace": None}, {"until": 1e12}, {"seal": "0" * 64},
                                    {"seal": None}, {"seal": "\ud800"}, {"trace": {"base_id": "b", "parent_id": "q"}}])
def test_nothing_of_it_can_be_changed(sealed, change):
    assert origin.unseal("i-1", {**sealed, **change}) is None


@pytest.mark.parametrize("value", [None, [], "text", {}, {"seal": 1}])
def test_what_is_no_origin(conf, value):
    assert origin.unseal("i-1", value) is None


def test_it_is_one_guests_and_of_its_time(sealed):
    assert origin.unseal("i-2", sealed) is None
    assert origin.unseal("i-1", sealed, now=time.time() + 61) is None
