"""The memory of verified tokens."""
import contextlib
import socket
import threading

from trove.common.auth import MemcachedWatch, TokenCache, memcached_answers


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_token_is_kept_for_its_time():
    clock = Clock()
    cache = TokenCache(clock=clock)
    assert cache.get("t") is None
    cache.set("t", b"data", time=300)
    clock.now += 299
    assert cache.get("t") == b"data"
    clock.now += 1
    assert cache.get("t") is None
    assert not cache._entries


def test_memory_is_bounded_and_what_is_used_stays():
    cache = TokenCache(size=3, clock=Clock())
    for number in range(100):
        cache.set(f"t{number}", b"x", time=300)
        cache.get("t0")
    assert list(cache._entries) == ["t98", "t99", "t0"]


def test_threads_share_it():
    cache = TokenCache(size=50)
    errors = []

    def work(worker):
        try:
            for number in range(500):
                cache.set(f"{worker}-{number % 20}", b"x", time=300)
                cache.get(f"{(worker + 1) % 4}-{number % 20}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(cache._entries) == 50


@contextlib.contextmanager
def memcached(answer=b"VERSION 1.6.18\r\n"):
    """A server that answers the first request of each connection; gives its host:port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    with connection:
                        connection.recv(64)
                        connection.sendall(answer)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_whether_memcached_answers():
    with memcached() as address:
        assert memcached_answers(address)
    assert not memcached_answers(address)
    with memcached(b"ERROR\r\n") as address:
        assert not memcached_answers(address)


def test_a_memcached_that_goes_away_is_logged_once(caplog):
    caplog.set_level("INFO")
    clock = Clock()
    with memcached() as address:
        watch = MemcachedWatch(lambda *_: [], [address], clock)
        clock.now += 31
        watch({}, None)
        assert not caplog.records
    for _ in range(3):
        clock.now += 31
        watch({}, None)
    [record] = caplog.records
    assert (record.levelname, address in record.getMessage()) == ("ERROR", True)
    caplog.clear()
    with memcached() as address:
        watch._servers = [address]
        watch({}, None)
        assert not caplog.records
        clock.now += 31
        watch({}, None)
    assert [record.levelname for record in caplog.records] == ["INFO"]
