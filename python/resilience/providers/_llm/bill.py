"""What one call takes of limits and budgets: an estimate at first, and in the end what was used."""

from typing import Self

from resilience.errors import RateLimitedError
from resilience.providers._llm.errors import (
    ProviderConnectionError,
    ProviderStatusError,
    UnsupportedRequestError,
)
from resilience.providers._llm.ledger import Call, Ledger, Reservation
from resilience.providers._llm.token_rate import TokenRate
from resilience.providers._llm.types import Price, Usage, tokens_of

# After these nothing is owed.
_NOTHING_DONE = (ProviderStatusError, ProviderConnectionError, UnsupportedRequestError)


class Bill:
    """A context around one call; whatever ends it settles it, once.

    Args:
        ledger: with tallies and budgets.
        tokens: the provider's limit, if it has one.
        call: whose it is.
        price: of the model, if known.
        expected: the estimate.
    """

    def __init__(
        self, ledger: Ledger, tokens: TokenRate | None, call: Call, price: Price | None, expected: Usage
    ) -> None:
        self._ledger, self._tokens, self._call = ledger, tokens, call
        self._price, self._expected = price, expected
        self._reservation: Reservation | None = None
        self._settled = False
        self._characters = 0
        self.pieces = 0
        self.cost: float | None = None

    def __enter__(self) -> Self:
        self._reservation = self._ledger.reserve(self._call, self._price, self._expected)
        wait = 0.0 if self._tokens is None else self._tokens.take(self._expected.total_tokens)
        if wait > 0.0:
            self._reservation.settle(None)
            raise RateLimitedError(wait, name=f"tokens of llm.{self._call.provider}")
        return self

    def receive(self, text: str) -> None:
        """Note a part of the answer."""
        self.pieces += 1
        self._characters += len(text)

    def used(self, said: Usage | None) -> Usage:
        """Settle by what the provider said, or by an estimate."""
        usage = self._estimate() if said is None else said
        self._settle(usage)
        return usage

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not self._settled:
            # a stream may be refused half-way
            nothing_done = isinstance(error, _NOTHING_DONE) and self.pieces == 0
            self._settle(None if nothing_done else self._estimate())

    def _estimate(self) -> Usage:
        return Usage(self._expected.input_tokens, tokens_of(self._characters), estimated=True)

    def _settle(self, usage: Usage | None) -> None:
        self._settled = True
        if self._reservation is not None:
            self.cost = self._reservation.settle(usage)
        if self._tokens is not None:
            self._tokens.settle(self._expected.total_tokens, 0 if usage is None else usage.total_tokens)
