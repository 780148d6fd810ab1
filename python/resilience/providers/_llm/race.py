"""One request on its way through the providers."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from resilience._hedge import Hedge
from resilience.errors import RejectedError, ResilienceError
from resilience.providers._llm.endpoint import Endpoint
from resilience.providers._llm.errors import BadRequestError

T = TypeVar("T")


class _NobodyLeftError(ResilienceError):
    """This lane found no provider that answers."""


class Race(Generic[T]):
    """Walks a list of providers, in one lane or, hedged, in several: each provider is asked at most once.

    Args:
        endpoints: in the order in which to ask them.
        ask: asks one of them.
        note: is told of each failure.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        ask: Callable[[Endpoint], Awaitable[T]],
        note: Callable[[Endpoint, BaseException], None],
    ) -> None:
        self._waiting = iter(endpoints)
        self._ask = ask
        self._note = note
        self._refused: BadRequestError | None = None
        self.attempts: list[tuple[str, BaseException]] = []

    async def run(self, hedge: Hedge | None) -> T | None:
        """The first good answer; ``None`` when nobody gave one.

        Raises:
            BadRequestError: at once: what is wrong with the request is wrong everywhere.
        """
        try:
            return await (self._lane() if hedge is None else hedge.call(self._lane))
        except _NobodyLeftError:
            if self._refused is not None:
                raise self._refused from None
            return None

    async def _lane(self) -> T:
        for endpoint in self._waiting:
            if self._refused is not None:
                break
            try:
                return await self._ask(endpoint)
            except BadRequestError as error:
                self._refused = error
            except RejectedError as error:
                # where a rejection comes from is no news, and its frames would hold on to the whole request
                self.attempts.append((endpoint.name, error.with_traceback(None)))
            except Exception as error:  # noqa: BLE001 - whatever a client of one's own raises
                self.attempts.append((endpoint.name, error))
                self._note(endpoint, error)
        raise _NobodyLeftError
