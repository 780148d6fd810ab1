"""A provider at work: its breaker, its limits and timeouts around its client."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from resilience._bulkhead import Bulkhead
from resilience._circuit_breaker import CircuitBreaker
from resilience._core import Clock
from resilience._pipeline import Pipeline
from resilience._rate_limit import RateLimit
from resilience._timeout import Timeout
from resilience.providers._llm.bill import Bill
from resilience.providers._llm.clients import closing
from resilience.providers._llm.dialects import Piece
from resilience.providers._llm.errors import (
    MalformedAnswerError,
    ProviderStatusError,
    StreamInterruptedError,
    UnsupportedRequestError,
)
from resilience.providers._llm.latencies import Latencies
from resilience.providers._llm.ledger import Call, Ledger
from resilience.providers._llm.provider import Provider
from resilience.providers._llm.token_rate import TokenRate
from resilience.providers._llm.types import (
    ChatRequest,
    Completion,
    Embeddings,
    EmbedRequest,
    Request,
    StreamEvent,
)

_MINUTE = 60.0


class Endpoint:
    """One provider of a router.

    Args:
        settings: how it was described.
        ledger: where its calls are counted.
        clock: of its breaker, limits and timeouts.
    """

    def __init__(self, settings: Provider, ledger: Ledger, clock: Clock) -> None:
        self.settings = settings
        self.name = settings.name
        self.latencies = Latencies()
        self._ledger = ledger
        self._clock = clock
        self._dialect = settings.defaults.dialect()
        self._client = settings.make_client()
        self._tokens = None if settings.tpm is None else TokenRate(settings.tpm, clock)
        self.breaker = CircuitBreaker.from_config(
            settings.breaker or settings.defaults.breaker, f"llm.{self.name}", clock=clock
        )
        self._guard(settings)

    def _guard(self, settings: Provider) -> None:
        """Whole answers and streams pass the same breaker and limits, and differ in timeouts."""
        name, clock, whole = f"llm.{self.name}", self._clock, settings.whole_timeout
        shared: dict[str, Any] = {
            "circuit_breaker": self.breaker,
            "bulkhead": Bulkhead(settings.max_concurrent, name=name, clock=clock),
            "rate_limit": None
            if settings.rpm is None
            else RateLimit(settings.rpm, _MINUTE, name=name, clock=clock),
        }
        calls = Pipeline(**shared, timeout=Timeout(whole, name=name, clock=clock), name=name, clock=clock)
        parts = Timeout(
            settings.stream_timeout,
            first_item=settings.first_token_timeout or whole,
            idle=settings.idle_timeout or settings.defaults.idle_timeout,
            name=name,
            clock=clock,
        )
        streams = Pipeline(**shared, timeout=parts, name=name, clock=clock)
        self._complete = calls(self._ask)
        self._embed = calls(self._ask_embeddings)
        self._stream = streams(self._ask_stream)

    # ---- what the router calls ----

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask for a whole answer.

        Raises:
            ProviderError: whatever was wrong with the answer.
            RejectedError: if breaker, limits or budgets don't let it through.
            CallTimeoutError: if it takes too long.
        """
        with self._heeding(request):
            completion: Completion = await self._complete(request)
        return completion

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Ask for an answer piece by piece; raises as `complete` does."""
        events = self._stream(request)
        async with contextlib.aclosing(events):
            with self._heeding(request):
                async for event in events:
                    yield event

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Ask for embeddings; raises as `complete` does."""
        with self._heeding(request):
            embeddings: Embeddings = await self._embed(request)
        return embeddings

    def expected_cost(self, request: Request) -> float:
        """Dollars that a request may cost here; infinite without a price."""
        price = self.settings.price_of(self._model(request))
        return float("inf") if price is None else price.of(request.expected)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def report(self) -> dict[str, Any]:
        """How it does, ready for JSON."""
        return {
            "provider": self.name,
            "kind": self.settings.kind,
            "model": self.settings.model,
            "priority": self.settings.priority,
            "weight": self.settings.weight,
            "latency": self.latencies.report(),
            "breaker": self.breaker.get_stats(),
        }

    # ---- inside the breaker ----

    async def _ask(self, request: ChatRequest) -> Completion:
        model = self._model(request)
        with self._paying(request, model) as bill:
            started = self._clock.now()
            body = await self._client.chat(self._dialect.chat(request, model, stream=False))
            reply = self._dialect.reply(self.name, body)
            self.latencies.took(request.purpose, self._clock.now() - started)
            bill.receive(reply.text)
            usage = bill.used(reply.usage)
        return Completion(
            reply.text, self.name, reply.model or model, usage, bill.cost, reply.finish_reason, raw=body
        )

    async def _ask_stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        model = self._model(request)
        follower = self._dialect.follow(self.name)
        with self._paying(request, model) as bill:
            started = self._clock.now()
            events = self._client.stream(self._dialect.chat(request, model, stream=True))
            async with closing(events):
                async for event in events:
                    piece = follower.read(event)
                    if piece is not None:
                        if bill.pieces == 0:
                            self.latencies.took(request.purpose, self._clock.now() - started)
                        bill.receive(piece.text)
                        yield self._piece(piece, follower.model or model)
            if not follower.finished:
                raise StreamInterruptedError(self.name, "the stream ended before the answer did")
            usage = bill.used(follower.usage)
        yield StreamEvent(
            "end",
            provider=self.name,
            model=follower.model or model,
            usage=usage,
            cost=bill.cost,
            finish_reason=follower.finish_reason,
        )

    async def _ask_embeddings(self, request: EmbedRequest) -> Embeddings:
        if self._dialect.embed_path is None:
            raise UnsupportedRequestError(self.name, "it offers no embeddings")
        model = self._model(request)
        with self._paying(request, model) as bill:
            started = self._clock.now()
            body = await self._client.embed(self._dialect.embed(request.texts, model))
            vectors, said = self._dialect.vectors(self.name, body)
            if len(vectors) != len(request.texts):
                raise MalformedAnswerError(
                    self.name, f"the answer holds {len(vectors)} embeddings for {len(request.texts)} texts"
                )
            self.latencies.took(request.purpose, self._clock.now() - started)
            usage = bill.used(said)
        return Embeddings(vectors, self.name, model, usage, bill.cost)

    # ---- helpers ----

    def _model(self, request: Request) -> str:
        own = self.settings.embedding_model
        if isinstance(request, EmbedRequest) and request.model is None and own is not None:
            return own
        return self.settings.model_for(request.model)

    def _piece(self, piece: Piece, model: str) -> StreamEvent:
        return StreamEvent("text", piece.text, self.name, model, raw=piece.raw)

    @contextlib.contextmanager
    def _heeding(self, request: Request) -> Any:
        """Stay away for as long as a busy provider asks."""
        try:
            yield
        except ProviderStatusError as error:
            if error.busy and error.retry_after:
                self.breaker.trip(error.retry_after)
            self.latencies.failed(request.purpose)
            raise
        except Exception:
            self.latencies.failed(request.purpose)
            raise

    def _paying(self, request: Request, model: str) -> Bill:
        call = Call(self.name, model, request.caller or "")
        return Bill(self._ledger, self._tokens, call, self.settings.price_of(model), request.expected)
