"""What calls took and cost, by provider, model and caller, and the budgets they must keep to."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from resilience._checks import number, seconds
from resilience._core import Clock
from resilience._types import type_name
from resilience.providers._llm.errors import BudgetExceededError, UnpricedModelError
from resilience.providers._llm.types import Price, Usage

_OTHERS = "(others)"
_MOST_CALLERS = 10_000  # with a budget of their own; later ones share one
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """US dollars that may be spent in a time.

    A call is admitted when what was spent, what the calls under way are estimated at and its own estimate stay within
    it; then what it really cost is counted. Periods begin at multiples of `per` of UNIX time, so a day is a UTC day.

    Args:
        usd: dollars, > 0.
        per: seconds of a period, in (0, 31536000].
        provider: only calls to this provider count; ``None`` for all.
        model: only calls to this model count, by the provider's name for it.
        caller: only this caller's calls count.
        each_caller: every caller has this budget for itself.
        name: in errors; by default made up of these.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for one out of its range.
    """

    usd: float
    per: float = _DAY
    provider: str | None = None
    model: str | None = None
    caller: str | None = None
    each_caller: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < number("usd", self.usd) < float("inf"):
            raise ValueError(f"usd must be a number > 0, got {self.usd!r}")
        seconds("per", self.per)
        for name in ("provider", "model", "caller"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a string or None, got {type_name(value)}")
        if self.each_caller and self.caller is not None:
            raise ValueError("caller and each_caller can't be given both")
        if not self.name:
            about = [part for part in (self.provider, self.model, self.caller) if part]
            object.__setattr__(self, "name", f"budget of {', '.join(about) or 'all calls'}")

    def covers(self, call: "Call") -> bool:
        """Whether a call counts."""
        return (
            self.provider in {None, call.provider}
            and self.model in {None, call.model}
            and self.caller in {None, call.caller}
        )


class Call(NamedTuple):
    """Whose money is spent on what."""

    provider: str
    model: str
    caller: str


class _Account:
    """One budget with what was spent of it."""

    def __init__(self, budget: Budget, clock: Clock) -> None:
        self.budget = budget
        self._clock = clock
        self._period = self._now()
        self._spent: dict[str, float] = {}
        self._reserved: dict[str, float] = {}

    def _now(self) -> int:
        return math.floor(self._clock.time() / self.budget.per)

    def _turn(self) -> None:
        """Begin anew in a new period; a wall clock that is set back begins none."""
        now = self._now()
        if now > self._period:
            self._period = now
            self._spent.clear()

    def key(self, call: Call) -> str:
        if not self.budget.each_caller:
            return ""
        known = call.caller in self._spent or call.caller in self._reserved
        return call.caller if known or len(self._spent) < _MOST_CALLERS else _OTHERS

    def reserve(self, key: str, dollars: float) -> None:
        self._turn()
        taken = self._spent.get(key, 0.0) + self._reserved.get(key, 0.0)
        if taken + dollars > self.budget.usd:
            raise BudgetExceededError(self.budget.name, self._time_left())
        self._reserved[key] = self._reserved.get(key, 0.0) + dollars

    def settle(self, key: str, reserved: float, dollars: float) -> None:
        self._turn()
        left = self._reserved.get(key, 0.0) - reserved
        if left > 1e-12:  # noqa: PLR2004 - what remains of sums of floats
            self._reserved[key] = left
        else:
            self._reserved.pop(key, None)
        if dollars:
            self._spent[key] = self._spent.get(key, 0.0) + dollars

    def _time_left(self) -> float:
        return max(0.0, (self._period + 1) * self.budget.per - self._clock.time())

    def report(self) -> dict[str, Any]:
        self._turn()
        spent = (
            sum(self._spent.values())
            if not self.budget.each_caller
            else max(self._spent.values(), default=0.0)
        )
        return {
            "name": self.budget.name,
            "usd": self.budget.usd,
            "spent_usd": spent,
            "reserved_usd": sum(self._reserved.values()),
            "resets_in": self._time_left(),
        }


class Reservation:
    """A call that was let through its budgets: settled once, whatever becomes of it."""

    __slots__ = ("_dollars", "_held", "_ledger", "_price", "call")

    def __init__(self, ledger: "Ledger", call: Call, price: Price | None, expected: Usage) -> None:
        self._ledger = ledger
        self._price = price
        self.call = call
        self._dollars = 0.0 if price is None else price.of(expected)
        self._held: list[tuple[_Account, str]] = []

    def hold(self, account: _Account) -> None:
        """Reserve the estimate in one budget.

        Raises:
            BudgetExceededError: if it is spent.
            UnpricedModelError: if there is no price to reckon with.
        """
        if self._price is None:
            reason = f"{account.budget.name} covers {self.call.model}, which has no price"
            raise UnpricedModelError(self.call.provider, reason)
        key = account.key(self.call)
        account.reserve(key, self._dollars)
        self._held.append((account, key))

    def settle(self, usage: Usage | None) -> float | None:
        """Count what it took; ``None`` for nothing. Returns dollars, where there is a price."""
        cost = None if usage is None or self._price is None else self._price.of(usage)
        while self._held:
            account, key = self._held.pop()
            account.settle(key, self._dollars, cost or 0.0)
        if usage is not None:
            self._ledger.count(self.call, usage, cost)
        return cost


class Tally:
    """Sums over calls; what was only estimated stands beside what was said."""

    __slots__ = ("calls", "cost", "estimated_calls", "estimated_cost", "input", "output", "unpriced_calls")

    def __init__(self) -> None:
        self.calls = self.estimated_calls = self.unpriced_calls = 0
        self.input = self.output = 0
        self.cost = self.estimated_cost = 0.0

    def add(self, usage: Usage, cost: float | None) -> None:
        """Count a call."""
        self.calls += 1
        self.estimated_calls += usage.estimated
        self.unpriced_calls += cost is None
        self.input += usage.input_tokens
        self.output += usage.output_tokens
        self.cost += cost or 0.0
        if usage.estimated:
            self.estimated_cost += cost or 0.0

    def merge(self, other: "Tally") -> None:
        """Count all of another's calls."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def report(self) -> dict[str, Any]:
        """Ready for JSON; ``estimated_*`` are contained in the sums."""
        return {
            "calls": self.calls,
            "estimated_calls": self.estimated_calls,
            "unpriced_calls": self.unpriced_calls,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "cost_usd": self.cost,
            "estimated_cost_usd": self.estimated_cost,
        }


class Ledger:
    """Tallies and budgets of one router, bounded in memory.

    Args:
        budgets: to keep to.
        most: tallies kept at most; beyond it, new callers and models are counted together.
        clock: its ``time()`` divides time into periods.
    """

    def __init__(self, budgets: Iterable[Budget], most: int, clock: Clock) -> None:
        self._accounts = [_Account(budget, clock) for budget in budgets]
        self._most = most
        self._tallies: dict[Call, Tally] = {}

    def reserve(self, call: Call, price: Price | None, expected: Usage) -> Reservation:
        """Let a call through all budgets that cover it, or through none.

        Raises:
            BudgetExceededError: if one is spent.
            UnpricedModelError: if one covers it and its price is not known.
        """
        reservation = Reservation(self, call, price, expected)
        for account in self._accounts:
            if account.budget.covers(call):
                try:
                    reservation.hold(account)
                except BaseException:
                    reservation.settle(None)
                    raise
        return reservation

    def count(self, call: Call, usage: Usage, cost: float | None) -> None:
        """Add a call to its tally."""
        if call not in self._tallies and len(self._tallies) >= self._most:
            call = Call(call.provider, _OTHERS, _OTHERS)
        self._tallies.setdefault(call, Tally()).add(usage, cost)

    def report(self) -> dict[str, Any]:
        """Sums by provider, by model and by caller, and in all; ready for JSON."""
        total = Tally()
        groups: dict[str, dict[str, Tally]] = {"providers": {}, "models": {}, "callers": {}}
        for call, tally in self._tallies.items():
            total.merge(tally)
            for group, key in zip(groups.values(), call, strict=True):
                group.setdefault(key, Tally()).merge(tally)
        sums = {name: {key: tally.report() for key, tally in group.items()} for name, group in groups.items()}
        return {**total.report(), **sums, "budgets": [account.report() for account in self._accounts]}
