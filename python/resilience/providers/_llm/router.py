"""Asks one provider after the other until one answers."""

import contextlib
import inspect
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from resilience._checks import clock_or_none, whole
from resilience._circuit_breaker import CircuitBreaker
from resilience._core import Clock
from resilience._hedge import Hedge
from resilience._types import MISSING
from resilience._waiting import SYSTEM_CLOCK
from resilience.errors import AllProvidersFailedError
from resilience.providers._llm.checks import checked_budgets, checked_providers
from resilience.providers._llm.endpoint import Endpoint
from resilience.providers._llm.errors import BadCredentialsError, UnknownModelError
from resilience.providers._llm.ledger import Budget, Ledger
from resilience.providers._llm.order import make_order
from resilience.providers._llm.provider import Provider
from resilience.providers._llm.race import Race
from resilience.providers._llm.types import (
    ChatRequest,
    Completion,
    Embeddings,
    Request,
    StreamEvent,
    Usage,
    chat_request,
    embed_request,
)

T = TypeVar("T")
_log = logging.getLogger("resilience.providers")
_MISCONFIGURED = (BadCredentialsError, UnknownModelError)


class LLMRouter:
    """One door to several language model providers.

    Each provider has its own circuit breaker, limits and timeouts; the libraries' own retries are off. A request goes
    to the first provider in the chosen order whose breaker and limits let it through, and on to the next when that
    fails. What is wrong with the request itself is raised at once, for every provider would refuse it. It belongs to
    one event loop.

    Args:
        providers: at least one :class:`Provider`, or mappings of its settings; their names must differ.
        order: ``"priority"`` (then by weight), ``"cheapest"`` by estimated cost, or ``"fastest"`` by mean latency.
        fallback: answers when no provider does: a text, a :class:`Completion`, or an (async) function of the messages
            that gives one.
        hedge: sends a request to the next provider too when the first has not answered after so many seconds, or a
            percentile such as ``"p95"``; or made by `hedge`, to bound it by a budget. Off by default, for it may cost
            twice; streams and embeddings are never hedged.
        budgets: each a :class:`Budget`.
        exploration: with ``"fastest"``: fraction of requests that ask another provider first.
        max_tallies: combinations of provider, model and caller that are counted apart, >= 1.
        rng: where random draws come from.
        clock: of breakers, limits, timeouts and budgets.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for one out of its range.
        ImportError: for a provider whose library is missing, naming the extra.
    """

    def __init__(
        self,
        providers: Iterable[Provider | Mapping[str, Any]],
        *,
        order: str = "priority",
        fallback: Any = MISSING,
        hedge: float | str | Hedge | None = None,
        budgets: Iterable[Budget] = (),
        exploration: float = 0.05,
        max_tallies: int = 10_000,
        rng: random.Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        settings = checked_providers(providers)
        limits = checked_budgets(budgets, settings)
        if whole("max_tallies", max_tallies) < 1:
            raise ValueError(f"max_tallies must be an integer >= 1, got {max_tallies!r}")
        clock = clock_or_none(clock) or SYSTEM_CLOCK
        self._order = make_order(order, exploration)
        self._hedge = hedge if hedge is None or isinstance(hedge, Hedge) else Hedge(hedge, clock=clock)
        self._fallback = fallback
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - spreads load, keeps no secret
        self._ledger = Ledger(limits, max_tallies, clock)
        self._warned: set[tuple[str, type]] = set()
        self._endpoints = [Endpoint(each, self._ledger, clock) for each in settings]

    # ---- asking ----

    async def complete(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        caller: str | None = None,
        **options: Any,
    ) -> Completion:
        """Ask for a whole answer.

        Args:
            messages: a text, or ``{"role": ..., "content": ...}`` mappings.
            model: a name out of the providers' ``models``, or a provider's own; by default each one's ``model``.
            max_tokens: bound of the answer, >= 1.
            temperature: in [0, 2].
            caller: whose usage, cost and budget it is.
            **options: go into the provider's request as they are.

        Raises:
            BadRequestError: if the request itself is wrong.
            BadCredentialsError: if no provider answered, and the first fault is a key.
            UnknownModelError: if no provider answered, and the first fault is the model's name.
            AllProvidersFailedError: if no provider answered otherwise, with each one's error.
        """
        request = chat_request(
            messages,
            model=model,
            max_tokens=max_tokens,
            temperature=temperature,
            caller=caller,
            options=options,
        )
        race: Race[Completion] = Race(
            self._ordered(request), lambda endpoint: endpoint.complete(request), self._note
        )
        found = await race.run(self._hedge)
        if found is not None:
            return _with_attempts(found, race.attempts)
        answer = await self._answer_instead(request, race.attempts)
        return _with_attempts(answer, race.attempts)

    async def stream(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        caller: str | None = None,
        **options: Any,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask for an answer piece by piece.

        Until the first piece has come another provider may take over; after it, what goes wrong is told by one
        event of the type ``"error"``, which is the last. Every whole answer ends with one of the type ``"end"``.
        Arguments and errors are those of `complete`.
        """
        request = chat_request(
            messages,
            model=model,
            max_tokens=max_tokens,
            temperature=temperature,
            caller=caller,
            options=options,
            stream=True,
        )
        race: Race[Any] = Race(self._ordered(request), _open_stream(request), self._note)
        opened = await race.run(None)
        if opened is None:
            answer = await self._answer_instead(request, race.attempts)
            yield StreamEvent("text", answer.text, answer.provider, answer.model)
            yield StreamEvent(
                "end", provider=answer.provider, model=answer.model, usage=answer.usage, cost=answer.cost
            )
            return
        event, events = opened
        async with contextlib.aclosing(events):
            while event is not None:
                yield event
                event = await _next_or_error(events, event)

    async def embed(
        self, texts: str | Sequence[str], *, model: str | None = None, caller: str | None = None
    ) -> Embeddings:
        """Ask for embeddings, in the order of the texts; providers without the service are passed over.

        Different models' vectors don't go together: give only providers of one embedding model, or none of them can
        take over for another. Errors are those of `complete`; there is no fallback.

        Args:
            texts: one, or several.
            model: as in `complete`.
            caller: whose usage, cost and budget it is.
        """
        request = embed_request(texts, model, caller)
        race: Race[Embeddings] = Race(
            self._ordered(request), lambda endpoint: endpoint.embed(request), self._note
        )
        found = await race.run(None)
        if found is None:
            raise _failure(race.attempts)
        return found

    # ---- looking ----

    def usage(self) -> dict[str, Any]:
        """Calls, tokens and cost in US dollars, in all and by provider, model and caller; budgets; ready for JSON."""
        return self._ledger.report()

    @property
    def cost(self) -> float:
        """US dollars in all, where prices are known."""
        return float(self._ledger.report()["cost_usd"])

    def stats(self) -> list[dict[str, Any]]:
        """How each provider does, ready for JSON."""
        return [endpoint.report() for endpoint in self._endpoints]

    @property
    def breakers(self) -> dict[str, CircuitBreaker]:
        """The providers' breakers by the providers' names."""
        return {endpoint.name: endpoint.breaker for endpoint in self._endpoints}

    # ---- life ----

    async def aclose(self) -> None:
        """Close all connections."""
        async with contextlib.AsyncExitStack() as stack:
            for endpoint in self._endpoints:
                stack.push_async_callback(endpoint.aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ---- helpers ----

    def _ordered(self, request: Request) -> list[Endpoint]:
        """Those that say they have the model; where none does, any may turn out to."""
        serving = [endpoint for endpoint in self._endpoints if endpoint.settings.serves(request.model)]
        return self._order(serving or self._endpoints, request, self._rng)

    def _note(self, endpoint: Endpoint, error: BaseException) -> None:
        """Say once what is set up wrongly: failing over would hide it."""
        key = endpoint.name, type(error)
        if isinstance(error, _MISCONFIGURED) and key not in self._warned:
            self._warned.add(key)
            _log.warning("provider %s is passed over: %s", endpoint.name, error)

    async def _answer_instead(
        self, request: ChatRequest, attempts: Sequence[tuple[str, BaseException]]
    ) -> Completion:
        if self._fallback is MISSING:
            raise _failure(attempts)
        answer = self._fallback
        if callable(answer):
            answer = answer([dict(message) for message in request.messages])
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, Completion):
            return answer
        return Completion(str(answer), "fallback", "fallback", Usage(), 0.0)


def _open_stream(request: ChatRequest) -> Callable[[Endpoint], Awaitable[Any]]:
    async def open_stream(endpoint: Endpoint) -> Any:
        events = endpoint.stream(request)
        try:
            return await anext(events), events
        except BaseException:
            await events.aclose()
            raise

    return open_stream


async def _next_or_error(events: AsyncIterator[StreamEvent], last: StreamEvent) -> StreamEvent | None:
    if last.type == "error":
        return None
    try:
        return await anext(events, None)
    except Exception as error:  # noqa: BLE001 - told by an event, whatever it is
        return StreamEvent("error", provider=last.provider, model=last.model, error=error)


def _with_attempts(found: Completion, attempts: Sequence[tuple[str, BaseException]]) -> Completion:
    return replace(found, attempts=tuple(attempts)) if attempts else found


def _failure(attempts: Sequence[tuple[str, BaseException]]) -> BaseException:
    """A fault of the set-up, where that is all there is, is clearer than a list of one."""
    if attempts and all(isinstance(error, _MISCONFIGURED) for _, error in attempts):
        return attempts[0][1]
    return AllProvidersFailedError(list(attempts))
