"""The figures of a server as tables in a terminal; needs rich."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.columns import Columns
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from resilience.observability import Family

_STATES = (
    ("closed", "green"),
    ("half-open", "yellow"),
    ("open", "bold red"),
    ("forced open", "bold red"),
    ("disabled", "yellow"),
    ("metrics only", "yellow"),
)


class View:
    """Families by name, with what the tables ask of them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = {family.name.removeprefix("resilience_"): family for family in families}

    def total(self, family: str, **labels: str) -> float:
        """Sum of the series that have these labels."""
        found = self._families.get(family)
        values = {} if found is None else found.values
        return sum(numbers[0] for having, numbers in values.items() if labels.items() <= dict(having).items())

    def names(self, family: str, label: str = "name") -> list[str]:
        """The different values of a label, sorted."""
        found = self._families.get(family)
        return sorted({dict(having).get(label, "") for having in ({} if found is None else found.values)})


def render(families: Iterable[Family], target: str) -> RenderableType:
    """Return what the terminal shows of one moment."""
    view = View(families)
    tables = [make(view) for make in (_breakers, _caches, _batchers, _rest)]
    title = Text(f"resilience at {target}")
    return Columns([table for table in tables if table.row_count], title=title, padding=(1, 3))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _row(table: Table, name: str, *cells: Any) -> None:
    """Add a row; names come from anywhere, so none is read as markup or sent to the terminal as a command."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    table.add_row(Text(plain), *(cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells))


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _breakers(view: View) -> Table:
    table = _table("Circuit breakers", "name", "state", "calls", "failed", "rejected")
    for name in view.names("circuit_breaker_state"):
        state = int(view.total("circuit_breaker_state", name=name))
        word, style = _STATES[state] if 0 <= state < len(_STATES) else ("?", "")
        counts = [
            _whole(view.total("circuit_breaker_calls", name=name, **given))
            for given in ({}, {"outcome": "failures"}, {"outcome": "rejected"})
        ]
        _row(table, name, Text(word, style), *counts)
    return table


def _caches(view: View) -> Table:
    table = _table("Caches", "name", "entries", "hit rate")
    for name in view.names("cache_entries"):
        hits = view.total("cache_lookups", name=name, result="hits")
        lookups = view.total("cache_lookups", name=name)
        _row(table, name, _whole(view.total("cache_entries", name=name)), _share(hits, lookups))
    return table


def _batchers(view: View) -> Table:
    table = _table("Batchers", "name", "requests", "waiting", "fill")
    for name in view.names("batcher_requests"):
        fill = view.total("batcher_efficiency_ratio", name=name)
        counts = [_whole(view.total(f"batcher_{what}", name=name)) for what in ("requests", "pending")]
        _row(table, name, *counts, _share(fill, 1))
    return table


def _rest(view: View) -> Table:
    table = _table("Service", "what", "now")
    shown: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
        ("allocation", "name", "{}, allocated", _whole),
        ("forecast", "measure", "{}, forecast", _whole),
        ("pool_size", "name", "{} pool, at most", _whole),
        ("connections_active", "name", "{} connections", _whole),
        ("dependency_up", "name", "{}", lambda value: "up" if value else "down"),
    )
    for family, label, title, told in shown:
        for name in view.names(family, label):
            _row(table, title.format(name), told(view.total(family, **{label: name})))
    requests = view.total("http_requests")
    if requests:
        _row(table, "requests", _whole(requests))
    return table
