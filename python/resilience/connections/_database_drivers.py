"""What a database driver must do for a pool, and how PostgreSQL's errors read."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Driver(Protocol):
    """A database behind a pool; its connections have `fetch` and `execute`."""

    async def open(self) -> None:
        """Make ready; opens no more than one connection."""

    def reading(self) -> AbstractAsyncContextManager[Any]:
        """Lend a connection for reading."""

    def writing(self, phase: "Phase") -> AbstractAsyncContextManager[Any]:
        """Lend a connection inside a transaction that commits at the end, noting in `phase` how far it is."""

    async def check(self) -> None:
        """Raise when the address leads to another database by now than the connections do."""

    async def resize(self, size: int) -> None:
        """Take another size; the places have been resized already."""

    def is_outage(self, error: BaseException) -> bool:
        """Whether `error` says that the database, rather than a statement, is the trouble."""

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the server says that it undid the transaction, which may be tried again."""

    def stats(self) -> dict[str, Any]:
        """Return the figures of the connections."""

    async def close(self) -> None:
        """Close every connection."""


class Phase:
    """How far a write has come; after the commit was sent, nobody knows whether it happened until the answer."""

    def __init__(self) -> None:
        self.committing = False
