"""In which order providers are asked."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Final

from resilience._checks import number
from resilience.providers._llm.endpoint import Endpoint
from resilience.providers._llm.types import Request

Order = Callable[[Sequence[Endpoint], Request, random.Random], list[Endpoint]]


def by_priority(endpoints: Sequence[Endpoint], _request: Request, rng: random.Random) -> list[Endpoint]:
    """Lower priorities first; equal ones by weighted drawing without replacement.

    After Efraimidis, Spirakis: "Weighted random sampling with a reservoir" (2006).
    """

    def key(endpoint: Endpoint) -> tuple[int, float]:
        return endpoint.settings.priority, -math.log(1.0 - rng.random()) / endpoint.settings.weight

    return sorted(endpoints, key=key)


def cheapest(endpoints: Sequence[Endpoint], request: Request, rng: random.Random) -> list[Endpoint]:
    """The lowest estimated cost first; those without a price last."""
    return sorted(by_priority(endpoints, request, rng), key=lambda each: each.expected_cost(request))


class Fastest:
    """The lowest mean latency first; those never asked before all, those that only failed after all.

    Args:
        exploration: fraction of requests that ask another one first, so that one that was slow once is seen again.
    """

    def __init__(self, exploration: float) -> None:
        self._exploration = exploration

    def __call__(self, endpoints: Sequence[Endpoint], request: Request, rng: random.Random) -> list[Endpoint]:
        """Order them."""
        drawn = by_priority(endpoints, request, rng)
        if rng.random() < self._exploration:
            return drawn
        return sorted(drawn, key=lambda each: each.latencies.rank(request.purpose))


ORDERS: Final = ("priority", "cheapest", "fastest")


def make_order(name: str, exploration: float) -> Order:
    """The order of this name.

    Raises:
        ValueError: if there is none, or the fraction is out of [0, 1].
    """
    if not 0.0 <= number("exploration", exploration) <= 1.0:
        raise ValueError(f"exploration must be a fraction in [0, 1], got {exploration!r}")
    if name not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {name!r}")
    orders: dict[str, Order] = {
        "priority": by_priority,
        "cheapest": cheapest,
        "fastest": Fastest(exploration),
    }
    return orders[name]
