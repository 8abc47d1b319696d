"""Leaky buckets, by a clock of the test's own."""
import threading

import pytest
import webob

from trove.common import wsgi
from trove.common.context import TroveContext
from trove.common.limits import RateLimit, RateLimiter, TenantShareMiddleware

GETS = RateLimit("GET", "*", ".*", 6)  # one unit leaks out in 10 s
POSTS = RateLimit("POST", "*", ".*", 60)
MGMT_POSTS = RateLimit("POST", "*/mgmt", "^/mgmt", 2)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    return RateLimiter((GETS, POSTS, MGMT_POSTS), clock)


def test_a_burst_then_a_trickle(limiter, clock):
    assert [limiter.take("t", "GET", "/x") for _ in range(6)] == [None] * 6
    assert limiter.take("t", "GET", "/x") == (GETS, pytest.approx(10.0))
    clock.now += 7
    assert limiter.take("t", "GET", "/x") == (GETS, pytest.approx(3.0))
    clock.now += 3
    assert limiter.take("t", "GET", "/x") is None
    assert limiter.take("t", "GET", "/x") == (GETS, pytest.approx(10.0))


def test_who_waits_as_told_is_served(limiter, clock):
    for _ in range(50):
        over = limiter.take("t", "GET", "/x")
        if over is not None:
            clock.now += over[1]
            assert limiter.take("t", "GET", "/x") is None


def test_a_refused_request_counts_for_nothing(limiter):
    for _ in range(2):
        assert limiter.take("t", "POST", "/mgmt/x") is None
    for _ in range(5):
        assert limiter.take("t", "POST", "/mgmt/x")[0] == MGMT_POSTS
    assert [left for limit, left, _wait in limiter.state("t") if limit == POSTS] == [58]


def test_tenants_and_verbs_are_apart(limiter):
    for _ in range(6):
        limiter.take("t", "GET", "/x")
    assert limiter.take("other", "GET", "/x") is None
    assert limiter.take("t", "POST", "/x") is None
    assert limiter.take("t", "PATCH", "/x") is None
    assert [left for _limit, left, _wait in limiter.state("t")] == [0, 59, 2]
    assert [left for _limit, left, _wait in limiter.state("other")] == [5, 60, 2]
    assert [wait for _limit, _left, wait in limiter.state("t")] == [10.0, 0.0, 0.0]


def test_memory_is_bounded_and_the_busy_are_kept(clock):
    limiter = RateLimiter((GETS,), clock, max_buckets=10)
    for number in range(1000):
        limiter.take("busy", "GET", "/x")
        limiter.take(f"tenant-{number}", "GET", "/x")
    assert len(limiter._buckets) == 10
    assert limiter.take("busy", "GET", "/x") is not None


def test_a_tenant_holds_a_share_of_the_threads(conf):
    conf.set_override("trove_api_threads", 4)
    conf.set_override("tenant_threads_share", 0.5)
    entered, go_on = threading.Semaphore(0), threading.Event()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            entered.release()
            assert go_on.wait(30)
        return webob.Response(status=204)(environ, start_response)
    shared = TenantShareMiddleware(application)

    def ask(tenant, path="/"):
        request = webob.Request.blank(path)
        request.environ[wsgi.CONTEXT_KEY] = TroveContext(project_id=tenant)
        return request.get_response(shared)
    threads = [threading.Thread(target=ask, args=("t", "/slow")) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert entered.acquire(timeout=30)
    refused = ask("t")
    assert (refused.status_int, refused.headers["Retry-After"]) == (503, "1")
    assert "2 requests of this tenant" in refused.json["serviceUnavailable"]["message"]
    assert ask("other").status_int == 204
    go_on.set()
    for thread in threads:
        thread.join()
    assert ask("t").status_int == 204
    assert not shared._held


def test_an_error_gives_the_place_back(conf):
    conf.set_override("trove_api_threads", 1)

    def application(environ, start_response):
        raise ZeroDivisionError
    shared = TenantShareMiddleware(application)
    for _ in range(3):
        request = webob.Request.blank("/")
        request.environ[wsgi.CONTEXT_KEY] = TroveContext(project_id="t")
        with pytest.raises(ZeroDivisionError):
            request.get_response(shared)
