"""The memory of verified tokens."""
import threading

from trove.common.auth import TokenCache


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
