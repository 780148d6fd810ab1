"""What reusing connections saves, by client library, with TLS and without, and what remains at a real latency.

The endpoint is on loopback and does no work but wait for the latency, if any; pooled and unpooled requests
alternate, and medians are compared.
"""

import asyncio

from harness import Row, arguments, plot_bars, report, save

from resilience.connections import ConnectionManager, Improvement

CLIENTS = ("aiohttp", "httpx2", "httpx")
LATENCIES = (0.0, 0.005, 0.020)


async def measure(rounds: int) -> dict[str, Improvement]:
    found = {}
    for client in CLIENTS:
        async with ConnectionManager(http_client=client) as manager:
            for latency in LATENCIES:
                for each in await manager.measure_improvement(rounds=rounds, upstream_latency=latency):
                    found[f"{client}, {each.scheme}, {latency * 1e3:.0f} ms upstream"] = each
    return found


def main() -> None:
    options = arguments(__doc__ or "", rounds=100)
    found = asyncio.run(measure(options.rounds))
    rows = [
        Row(
            name,
            {
                "pooled ms": each.pooled * 1e3,
                "unpooled ms": each.unpooled * 1e3,
                "saved %": each.fraction * 100,
            },
        )
        for name, each in found.items()
    ]
    report("What pooling saves of a request's time", rows)
    save("connections", {name: each.report() for name, each in found.items()})
    saved = {name: each.fraction * 100 for name, each in found.items()}
    plot_bars(
        "connections", "Time that pooling saves", "% of an unpooled request (log)", saved, ours="aiohttp"
    )


if __name__ == "__main__":
    main()
