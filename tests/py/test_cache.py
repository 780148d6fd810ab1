"""The cache in this process, as a mapping."""

import gc
import json
import math
import weakref

import pytest

from resilience import Cache


class Log(list):
    def __call__(self, key, value, cause):
        self.append((key, value, cause))


def test_it_is_a_mapping():
    cache = Cache(10)
    cache["a"] = 1
    assert cache.set("b", 2)
    assert cache["a"] == 1
    assert "b" in cache
    assert len(cache) == 2
    assert set(cache) == {"a", "b"}
    assert dict(cache.items()) == {"a": 1, "b": 2}
    assert sorted(cache.values()) == [1, 2]
    assert cache.pop("a") == 1
    assert cache.pop("a", 7) == 7
    with pytest.raises(KeyError):
        cache["a"]
    with pytest.raises(KeyError):
        del cache["a"]
    del cache["b"]
    assert cache.get("b") is None
    assert cache.get("b", default=5) == 5
    assert cache.setdefault("c", 3) == 3
    assert cache.popitem() == ("c", 3)
    assert not cache


def test_many_at_once():
    cache = Cache(10)
    assert cache.set_many({"a": 1, "b": 2}) == 2
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert cache.stats()["hits"] == 2
    assert cache.stats()["misses"] == 1


def test_an_entry_lives_for_its_ttl_and_not_longer(clock):
    cache = Cache(10, ttl=10, clock=clock)
    cache["a"] = 1
    cache.set("b", 2, ttl=20)
    clock.advance(9.999)
    assert cache["a"] == 1
    clock.advance(0.001)
    assert cache.get("a") is None
    assert cache["b"] == 2
    clock.advance(10)
    assert "b" not in cache


def test_expired_entries_leave_without_being_read(clock):
    log = Log()
    cache = Cache(5_000, ttl=10, on_evict=log, clock=clock)
    for number in range(3_000):
        cache[number] = str(number)
    clock.advance(10)
    assert len(log) == 3_000
    assert {cause for _, _, cause in log} == {"expired"}
    assert len(cache) == 0


def test_sliding_expiry_counts_from_the_last_use_within_the_ttl(clock):
    cache = Cache(10, ttl=10, sliding=4, clock=clock)
    cache["a"] = 1
    for _ in range(3):
        clock.advance(3)
        assert cache.get("a") == 1
    clock.advance(1)
    assert cache.get("a") is None, "no use moves it beyond its ttl"
    cache["b"] = 1
    clock.advance(4)
    assert cache.get("b") is None


def test_touch_starts_a_new_life_and_peek_changes_nothing(clock):
    cache = Cache(10, ttl=10, clock=clock)
    cache["a"] = 1
    clock.advance(9)
    assert cache.touch("a")
    clock.advance(9)
    assert cache.peek("a") == 1
    assert cache.stats()["hits"] == 0
    assert cache.touch("a", ttl=1)
    clock.advance(1)
    assert not cache.touch("a")
    assert cache.peek("a", "gone") == "gone"


def test_eviction_tells_key_value_and_cause(clock):
    log = Log()
    cache = Cache(2, ttl=10, policy="lru", on_evict=log, clock=clock)
    cache["a"] = 1
    cache["a"] = 2
    cache["b"] = 3
    cache["c"] = 4
    cache.invalidate("b")
    clock.advance(10)
    cache["d"] = 5
    cache.clear()
    assert log == [
        ("a", 1, "replaced"),
        ("a", 2, "capacity"),
        ("b", 3, "explicit"),
        ("c", 4, "expired"),
        ("d", 5, "cleared"),
    ]
    causes = cache.stats()["evictions"]
    assert causes == {"capacity": 1, "expired": 1, "explicit": 1, "replaced": 1, "cleared": 1}


def test_a_failing_listener_is_logged_and_harms_nothing(caplog):
    def listener(*_):
        raise RuntimeError("listener")

    cache = Cache(1, on_evict=listener)
    cache["a"] = 1
    cache["b"] = 2
    assert len(cache) == 1
    assert "on_evict failed" in caplog.text


def test_tags_are_invalidated_together():
    cache = Cache(10)
    cache.set("a", 1, tags=("red", "round"))
    cache.set("b", 2, tags=("red",))
    cache.set("c", 3)
    assert cache.invalidate_tags("red", "absent") == 2
    assert list(cache) == ["c"]


def test_max_bytes_holds_after_every_operation():
    cache = Cache(100, max_bytes=1_000, weigher=lambda _key, value: value)
    for size in (400, 300, 299, 500, 900, 100, 1_000, 1):
        assert cache.set(size, size)
        assert cache.stats()["bytes"] <= 1_000
    held = dict(cache.items())
    assert not cache.set("too much", 1_001)
    assert dict(cache.items()) == held, "what doesn't fit empties nothing"
    cache.set("grows", 10)
    assert not cache.set("grows", 2_000)
    assert "grows" not in cache, "the old value is not served for a new one that was refused"


def test_without_a_weigher_bytes_are_what_getsizeof_says():
    cache = Cache(10, max_bytes=10_000)
    cache["a"] = b"x" * 1_000
    assert 1_000 < cache.stats()["bytes"] < 1_200
    assert Cache(10).stats()["bytes"] is None


def test_resize_evicts_at_once_and_keeps_what_fits():
    log = Log()
    cache = Cache(10, on_evict=log)
    for number in range(10):
        cache[number] = number
    cache.resize(max_entries=3)
    assert len(cache) == 3
    assert len(log) == 7
    assert cache.stats()["max_size"] == 3
    cache.resize(max_entries=20)
    assert len(cache) == 3
    weighed = Cache(10, max_bytes=100, weigher=lambda *_: 10)
    for number in range(10):
        weighed[number] = number
    weighed.resize(max_bytes=50)
    assert len(weighed) == 5


@pytest.mark.parametrize(
    ("settings", "error", "names"),
    [
        ({"max_entries": 0}, ValueError, "max_entries"),
        ({"max_entries": 1.5}, TypeError, "max_entries"),
        ({"max_entries": 2**40}, ValueError, "max_entries"),
        ({"ttl": 0}, ValueError, "ttl"),
        ({"ttl": float("nan")}, ValueError, "ttl"),
        ({"ttl": "1"}, TypeError, "ttl"),
        ({"max_bytes": 0}, ValueError, "max_bytes"),
        ({"sliding": -1}, ValueError, "sliding"),
        ({"policy": "fifo"}, ValueError, "policy"),
        ({"on_evict": 1}, TypeError, "on_evict"),
        ({"weigher": 1}, TypeError, "weigher"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, error, names):
    with pytest.raises(error, match=names):
        Cache(**settings)


def test_a_bad_ttl_or_weight_changes_nothing():
    cache = Cache(10, max_bytes=10, weigher=lambda _key, value: value)
    with pytest.raises(ValueError, match="ttl"):
        cache.set("a", 1, ttl=-1)
    with pytest.raises(ValueError, match="weigher"):
        cache.set("a", -1)
    with pytest.raises(ValueError, match="weigher"):
        cache.set("a", 1.5)
    assert len(cache) == 0


@pytest.mark.parametrize("policy", ["adaptive", "lru", "s3fifo", "w_tinylfu"])
def test_every_policy_keeps_its_bound(policy):
    cache = Cache(50, policy=policy)
    for number in range(5_000):
        if cache.get(number % 80) is None:
            cache[number % 80] = number
        assert len(cache) <= 50


def test_keys_may_use_the_cache_while_they_are_compared_and_hashed():
    cache = Cache(4)

    class Key:
        def __init__(self, name):
            self.name = name

        def __hash__(self):
            cache.get("other")
            return 1_000_000

        def __eq__(self, other):
            cache["other"] = 1
            cache.invalidate("other")
            for filler in range(10):
                cache[filler] = filler
            return isinstance(other, Key) and self.name == other.name

    for name in "abc":
        cache[Key(name)] = name
        cache.get(Key(name))
    assert len(cache) <= 4


def test_values_and_listeners_may_use_the_cache_while_they_leave():
    cache = Cache(2, on_evict=lambda key, _value, _cause: cache.get(key))

    class Value:
        def __del__(self):
            cache["from del"] = 1
            cache.clear()

    for number in range(20):
        cache[number] = Value()
    cache.clear()
    assert len(cache) <= 2


def test_an_error_of_a_key_reaches_the_caller():
    class Key:
        def __hash__(self):
            return 7

        def __eq__(self, other):
            raise LookupError("eq")

    cache = Cache(4)
    cache[Key()] = 1
    with pytest.raises(LookupError, match="eq"):
        cache.get(Key())
    with pytest.raises(TypeError, match="unhashable"):
        cache.get([])


def test_a_cycle_through_the_cache_is_collected():
    class Node:
        pass

    cache = Cache(4)
    node = Node()
    node.cache = cache
    cache["node"] = node
    gone = weakref.ref(node)
    del cache, node
    gc.collect()
    assert gone() is None


def test_dropping_a_cache_tells_nobody_and_frees_all(clock):
    log = Log()
    cache = Cache(4, ttl=5, on_evict=log, clock=clock)

    class Value:
        pass

    value = Value()
    gone = weakref.ref(value)
    cache["a"] = value
    del cache, value
    gc.collect()
    assert gone() is None
    clock.advance(10)
    assert log == []


def test_stats_have_every_key():
    stats = Cache(7, ttl=300).stats()
    expected = {"size", "max_size", "hits", "misses", "hit_rate", "loads", "load_failures", "evictions"}
    assert expected | {"stale_served", "coalesced", "ttl_seconds", "bytes"} <= stats.keys()
    assert stats["max_size"] == 7
    assert stats["ttl_seconds"] == 300


async def test_get_or_load_loads_once_and_keeps_the_value():
    cache = Cache(10)
    calls = []

    async def loader(key):
        calls.append(key)
        return key.upper()

    assert await cache.get_or_load("a", loader) == "A"
    assert await cache.get_or_load("a", loader) == "A"
    assert await cache.get_or_load("b", lambda: 5) == 5
    assert cache.get_or_load_sync("c", lambda key: key * 2) == "cc"
    assert cache.get_or_load_sync("c", lambda: 1 / 0) == "cc"
    assert calls == ["a"]
    assert cache.stats()["loads"] == 3


def test_an_endless_life_is_shown_as_none_which_json_has():
    kept = Cache(ttl=math.inf, sliding=math.inf)
    kept.set("key", 1, ttl=math.inf)
    assert json.loads(json.dumps(kept.stats(), allow_nan=False))["ttl_seconds"] is None
    assert kept.get("key") == 1
