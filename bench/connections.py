"""What reusing connections saves, by client library, with TLS and without, and what remains at a real latency.

The endpoint is on loopback and does no work but wait for the latency, if any; pooled and unpooled requests
alternate, and the fastest of each are compared.
"""

import asyncio

from harness import RESULTS, Row, arguments, report, save

from resilience.connections import ConnectionManager, Improvement

CLIENTS = ("aiohttp", "httpx2", "httpx")
LATENCIES = (0.0, 0.005, 0.020)


def key(client: str, scheme: str, latency: float) -> str:
    return f"{client}, {scheme}, {latency * 1e3:.0f} ms upstream"


async def measure(rounds: int) -> dict[str, Improvement]:
    found = {}
    for client in CLIENTS:
        async with ConnectionManager(http_client=client) as manager:
            for latency in LATENCIES:
                for each in await manager.measure_improvement(rounds=rounds, upstream_latency=latency):
                    found[key(client, each.scheme, latency)] = each
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
    plot(found)


def plot(found: dict[str, Improvement]) -> None:
    """Draw pooled beside unpooled request times of each client, a panel a scheme and latency."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("install matplotlib for the plot")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, len(LATENCIES), figsize=(9, 5), sharex=True)
    for row, scheme in zip(panels, ("http", "https"), strict=True):
        for axes, latency in zip(row, LATENCIES, strict=True):
            each = [found[key(client, scheme, latency)] for client in CLIENTS]
            places = range(len(CLIENTS))
            axes.bar([p - 0.2 for p in places], [e.unpooled * 1e3 for e in each], 0.4, color="#8d99ae")
            bars = axes.bar([p + 0.2 for p in places], [e.pooled * 1e3 for e in each], 0.4, color="#d1495b")
            axes.bar_label(bars, labels=[f"\N{MINUS SIGN}{e.fraction:.0%}" for e in each], fontsize=8)
            axes.set_xticks(places, CLIENTS)
            axes.set_title(f"{scheme}, {latency * 1e3:.0f} ms upstream", loc="left", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("ms a request")
    figure.suptitle(
        "A request over a new connection (grey) and over a kept one (red)", x=0.02, ha="left", fontsize=10
    )
    figure.tight_layout()
    figure.savefig(RESULTS / "connections.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
