"""Redis killed, frozen, cut off, answering rubbish, restarted and failed over: nobody who uses the cache notices."""

import asyncio
import contextlib
import itertools

import pytest

from resilience import Cache, CircuitBreaker, RedisCache, TieredCache, cache
from support.fault_proxy import fault_proxy
from support.redis_server import redis_replica, redis_server
from support.until import until

__all__ = ["redis_replica", "redis_server"]


def make_levels(url, **settings):
    """Make what stands for one process; its breaker comes back soon."""
    breaker = CircuitBreaker(failure_threshold=3, recovery_timeout=0.05, success_threshold=1)
    settings = {"timeout": 5, "breaker": breaker} | settings  # longer than a busy machine stands still
    return TieredCache(Cache(100), RedisCache(url, prefix="test", **settings))


@pytest.fixture
async def levels(redis_server):
    """Make caches that stand for one process each, and close them all."""
    made = []

    def make(url=redis_server.url, **settings):
        made.append(make_levels(url, **settings))
        return made[-1]

    yield make
    for tiered in made:
        await tiered.aclose()


async def eventually(condition):
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0)


def listening(*tiered):
    return all(one.stats()["remote"]["listening"] for one in tiered)


async def sees(tiered, key, value):
    return await tiered.get(key) == value


class Traffic:
    """Requests through a tiered cache for as long as the block lasts, and a heartbeat of the loop beside them."""

    def __init__(self, tiered):
        self.tiered = tiered
        self.served = self.beats = 0
        self.tasks = []

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self._requests(number)) for number in range(4)]
        self.tasks.append(asyncio.create_task(self._beat()))
        return self

    async def _requests(self, worker):
        for number in itertools.count():
            key = f"{worker}:{number % 30}"
            assert await self.tiered.get_or_load(key, lambda key=key: key.upper()) == key.upper()
            self.served += 1
            await asyncio.sleep(0)

    async def _beat(self):
        while True:
            self.beats += 1
            await asyncio.sleep(0)

    async def more(self, requests):
        served, beats = self.served, self.beats
        await until(lambda: self.served >= served + requests or any(task.done() for task in self.tasks))
        assert self.beats > beats

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results


async def test_no_request_fails_while_redis_is_killed_frozen_and_restarted(levels, redis_server):
    tiered = levels(timeout=0.3)
    async with Traffic(tiered) as traffic:
        await traffic.more(300)
        redis_server.freeze()
        await traffic.more(300)
        redis_server.thaw()
        await traffic.more(300)
        redis_server.kill()
        await traffic.more(300)
        redis_server.start()
        await until(lambda: listening(tiered))
        await traffic.more(300)
    await eventually(lambda: tiered.remote.set("probe", 1))
    assert tiered.stats()["remote"]["errors"] > 0
    assert tiered.remote.breaker.state == "closed"


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (b"$-7\r\n*x\r\n\x00\xff:::\r\n" * 20, "rejected"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "rejected"),
        (b"+OK\r\n", "undecodable"),
        (b"*1\r\n" * 50, "rejected"),
        (b"$2000000000\r\n" + b"x" * 100_000, "rejected"),
        (b"*4\r\n*2000000000\r\n", "rejected"),
    ],
)
async def test_rubbish_for_answers_fails_no_request(answer, counted):
    """What is no answer at all opens the breaker, which keeps the server from being asked each time."""

    async def rubbish(reader, writer):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000):
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(rubbish, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    remote = RedisCache(f"redis://127.0.0.1:{port}", prefix="x", timeout=0.05)  # with the breaker of its own
    tiered = TieredCache(Cache(100), remote)
    async with Traffic(tiered) as traffic:
        await traffic.more(300)
        await until(lambda: remote.stats()[counted] > 0)
    assert remote.stats()["hits"] == 0
    await tiered.aclose()
    server.close()


async def test_after_a_lost_connection_what_is_kept_locally_is_suspect(levels, redis_server):
    one, two = levels(), levels()
    await one.set("a", "old")
    await two.get("a")
    await until(lambda: listening(one, two))
    await eventually(lambda: sees(two, "a", "old"))
    redis_server.kill()
    await until(lambda: not listening(one) and not listening(two))
    assert await two.get("a") == "old", "local service goes on"
    redis_server.start()
    await eventually(lambda: one.remote.set("a", "new"))
    await until(lambda: listening(two))
    assert two.local.peek("a") is None
    await eventually(lambda: sees(two, "a", "new"))
    assert two.stats()["remote"]["suspected"] >= 1


async def test_what_was_invalidated_or_replaced_during_an_outage_does_not_come_back(levels, redis_server):
    one, other = levels(timeout=0.3), levels()
    for key in ("gone", "replaced", "tagged", "kept"):
        await other.set(key, "old", tags=("red",) if key == "tagged" else ())
    await eventually(lambda: sees(one, "kept", "old"))
    redis_server.freeze()
    await one.invalidate("gone")
    await one.set("replaced", "new")
    await one.invalidate_tags("red")
    assert one.stats()["remote"]["unsent"] == 3
    assert await one.get("replaced") == "new", "local service goes on"
    redis_server.thaw()
    await eventually(lambda: sees(one.remote, "kept", "old"))
    assert one.stats()["remote"]["unsent"] == 0, "Redis was told before it was asked"
    for tiered in (one, other):
        assert await tiered.remote.get("gone") is None
        assert await tiered.remote.get("replaced") in {None, "new"}
        assert await tiered.remote.get("tagged") is None


async def test_more_invalidations_than_can_be_remembered_forget_everything(levels):
    tiered = levels(timeout=5)
    await tiered.set("a", "old")
    tiered.remote.breaker.force_open()
    for number in range(1_500):
        await tiered.invalidate(number)
        assert tiered.stats()["remote"]["unsent"] <= 1_000
    tiered.remote.breaker.reset()
    assert await tiered.remote.get("a") is None
    assert tiered.stats()["remote"]["unsent"] == 0


async def test_an_invalidation_whose_caller_is_cancelled_is_made_up_for(levels, redis_server):
    tiered = levels(timeout=5)
    await tiered.set("a", "old")
    redis_server.freeze()
    task = asyncio.create_task(tiered.invalidate("a"))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert tiered.stats()["remote"]["unsent"] == 1
    redis_server.thaw()
    assert await tiered.get("a") is None


async def test_while_no_news_comes_nothing_is_kept_locally(levels, redis_server):
    """A server that answers and yet lets nobody listen: what others change would never be heard of."""
    client = RedisCache(redis_server.url, prefix="admin", timeout=5)
    await client.client().execute_command("ACL", "SETUSER", "default", "-subscribe")
    deaf = levels(timeout=5)
    loads = itertools.count(1)

    @cache(ttl=60, backend=deaf)
    async def load(_key):
        return next(loads)

    assert await deaf.set("a", 1)
    assert await deaf.get("a") == 1
    assert [await load("x"), await load("x")] == [1, 1], "Redis keeps it"
    assert await deaf.get_or_load("b", lambda: 2) == 2
    assert not listening(deaf)
    assert len(deaf.local) == 0
    redis_server.kill()
    assert await deaf.set("a", 3), "alone it keeps what there is"
    assert await deaf.get("a") == 3
    redis_server.start()  # with the default rights
    await until(lambda: listening(deaf))
    assert await deaf.get("a") is None
    await client.aclose()


async def test_the_first_answer_after_an_outage_ends_local_service(levels, redis_server):
    """Listening may come back later than Redis; what is kept locally is suspect from the first answer on."""
    tiered, other = levels(), levels()
    await tiered.set("a", "old")
    await until(lambda: listening(tiered))
    redis_server.kill()
    await until(lambda: not listening(tiered))
    assert await tiered.get("a") == "old"
    redis_server.start()
    await eventually(lambda: other.remote.set("a", "new"))
    await eventually(lambda: tiered.remote.set("elsewhere", 1))
    await eventually(lambda: sees(tiered, "elsewhere", 1))
    assert await tiered.get("a") == "new"


async def fail_over(tiered, proxy, server):
    """Lead the address to `server`; return once what is written there arrives."""
    proxy.lead_to("127.0.0.1", server.port)
    promoted = RedisCache(server.url, prefix="test", timeout=5)

    async def arrives():  # others may still be telling it of an attempt that failed, which removes the next one's
        return await tiered.remote.set("probe", "written") and await promoted.get("probe") == "written"

    await eventually(arrives)
    return promoted


@pytest.mark.parametrize("end", ["kill", "freeze"])
async def test_a_replica_takes_over_from_a_dead_server(levels, redis_server, redis_replica, end):
    async with fault_proxy("127.0.0.1", redis_server.port) as proxy:
        tiered = levels(f"redis://127.0.0.1:{proxy.port}/0", timeout=0.3)
        await tiered.set("kept", "value")
        async with Traffic(tiered) as traffic:
            await traffic.more(300)
            await until(lambda: listening(tiered))
            getattr(redis_server, end)()
            await traffic.more(300)
            redis_replica.promote()
            promoted = await fail_over(tiered, proxy, redis_replica)
            await until(lambda: listening(tiered))
            await promoted.set("kept", "changed elsewhere")
            await eventually(lambda: sees(tiered, "kept", "changed elsewhere"))
            await traffic.more(300)
        assert tiered.remote.breaker.state == "closed"
        assert await promoted.get("kept") == "changed elsewhere"
        await promoted.aclose()
        await tiered.aclose()


async def test_servers_change_places_while_connections_stay_open(levels, redis_server, redis_replica):
    """A planned failover: the former primary lives on as a replica, which answers reads and refuses writes."""
    async with fault_proxy("127.0.0.1", redis_server.port) as proxy:
        tiered = levels(f"redis://127.0.0.1:{proxy.port}/0")
        async with Traffic(tiered) as traffic:
            await traffic.more(300)
            redis_replica.promote()
            redis_server.follow(redis_replica)
            promoted = await fail_over(tiered, proxy, redis_replica)
            await eventually(lambda: tiered.remote.set("a", 1))
            await promoted.invalidate("a")
            await eventually(lambda: sees(tiered, "a", None))
            await traffic.more(300)
        assert await promoted.get("a") is None
        assert traffic.served >= 600
        await promoted.aclose()
        await tiered.aclose()
