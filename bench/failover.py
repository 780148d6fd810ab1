"""One provider of three down for 60 s at 10 requests a second: attempts that reach it, latency and errors.

This library's router and litellm's take the same load against the same faults side by side, each against
providers of its own: connections reset, answers of 503, and requests that hang until the caller gives up. litellm
needs an older openai library than ours, so that it runs in an environment of its own (``build/bench-litellm``).
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Row, plot_bars, report, save

HERE = Path(__file__).parent
PARTS = HERE / "failover_parts"
PEER = HERE.parent / "build" / "bench-litellm"
PEER_VERSION = "litellm>=1.106,<2"
ALONE = "litellm, defaults"
FAULTS = ("reset", "503", "hang")
WAYS = {
    "resilience": (None, "our_side.py", "openai"),
    "litellm, defaults": (PEER, "litellm_side.py", "defaults"),
    "litellm, fallbacks": (PEER, "litellm_side.py", "fallbacks"),
    "litellm, order": (PEER, "litellm_side.py", "order"),
}


def interpreter(environment: Path | None) -> str:
    """The interpreter of an environment, which is made on first use."""
    if environment is None:
        return sys.executable
    python = environment / "bin" / "python"
    if not python.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)  # noqa: S603
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), PEER_VERSION], check=True)  # noqa: S603
    return str(python)


def quantile(values: list[float], fraction: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def figures(found: dict[str, Any]) -> dict[str, float]:
    """What a run came to; the provider counts as known to be down once two attempts on it have failed."""
    ended = sorted(entry["ended"] for entry in found["log"] if entry["ended"] is not None)
    known = ended[1] if len(ended) > 1 else float("inf")
    own = quantile([call["seconds"] for call in found["own"]], 0.95)
    late = [call["seconds"] for call in found["outage"] if call["started"] > known] or [float("nan")]
    early = [call["seconds"] for call in found["outage"] if call["started"] <= known] or [float("nan")]
    return {
        "attempts": len(found["log"]),
        "after known": sum(entry["arrived"] > known for entry in found["log"]),
        "errors": sum(call["error"] is not None for call in found["outage"]),
        "own p95 ms": own * 1e3,
        "p95 ms": quantile(late, 0.95) * 1e3,
        "above own ms": (quantile(late, 0.95) - own) * 1e3,
        "first p95 ms": quantile(early, 0.95) * 1e3,
    }


def rounds(ways: list[str], faults: list[str]) -> list[tuple[str, list[str]]]:
    """Who runs at the same time on which fault.

    litellm's defaults keep a core busy with attempts, which the others would feel, so that they run alone; and not on
    requests that hang, for these queue up for many minutes.
    """
    together = [(fault, [way for way in ways if way != ALONE]) for fault in faults]
    alone = [(fault, [ALONE]) for fault in faults if ALONE in ways and fault != "hang"]
    return together + alone


def measure(fault: str, ways: list[str]) -> dict[str, dict[str, float]]:
    """These on one fault, at the same time."""
    running = {}
    for way in ways:
        environment, script, argument = WAYS[way]
        command = [interpreter(environment), str(PARTS / script), fault, argument]
        offline = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # it would load prices when imported
        running[way] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=offline)  # noqa: S603
    found = {}
    for way, process in running.items():
        output, _ = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"{way} failed on {fault}")
        found[way] = figures(json.loads(output.splitlines()[-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-peers", action="store_true", help="leave litellm out")
    parser.add_argument("--faults", nargs="+", default=FAULTS, choices=FAULTS)
    options = parser.parse_args()
    ways = [way for way in WAYS if way == "resilience" or not options.no_peers]
    results: dict[str, dict[str, dict[str, float]]] = {fault: {} for fault in options.faults}
    for fault, together in rounds(ways, options.faults):
        results[fault] |= measure(fault, together)
    for fault, found in results.items():
        rows = [Row(way, values) for way, values in found.items()]
        report(f"First of three providers down for 60 s at 10 requests/s: {fault}", rows)
    save("failover", results)
    plot_bars(
        "failover",
        "Attempts that reach a provider that is down for 60 s, of 600 requests",
        "attempts (log)",
        {
            f"{way}: {fault}": values["attempts"]
            for fault, found in results.items()
            for way, values in found.items()
        },
        ours="resilience",
    )


if __name__ == "__main__":
    main()
