"""What the catalogue's APIs answer, as typed values; none can be changed, so that callers may share them."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

from resilience.errors import ResilienceError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """An answer and how fresh it is.

    Attributes:
        value: what the API answered.
        age: seconds since it did; 0 for an answer to this very request.
        stale: whether it is older than the API's answers are good for, given because the API can't be asked now.
        because: why it couldn't; ``None`` unless stale.
    """

    value: T
    age: float = 0.0
    stale: bool = False
    because: ResilienceError | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of results.

    Attributes:
        items: in the API's order.
        total: how many there are on all pages, where the API tells.
        next: what asks for the next page, where the API gives such a cursor.
    """

    items: tuple[T, ...]
    total: int | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A scholarly work; `published` is the first day of a month or year where no more is known."""

    id: str
    title: str
    authors: tuple[str, ...] = ()
    abstract: str | None = None
    published: date | None = None
    venue: str | None = None
    doi: str | None = None
    url: str | None = None
    pdf_url: str | None = None
    citations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The latest price of a security."""

    symbol: str
    price: float
    previous_close: float | None = None
    volume: float | None = None
    currency: str | None = None
    time: datetime | date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBar:
    """Prices of one period, which begins at `time`."""

    time: datetime | date
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSeries:
    """Prices of a security, oldest first."""

    symbol: str
    bars: tuple[PriceBar, ...]
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """A piece of news."""

    title: str
    url: str
    source: str | None = None
    author: str | None = None
    published: datetime | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What somebody put up for discussion."""

    id: str
    title: str
    author: str | None = None
    url: str | None = None
    text: str | None = None
    score: int | None = None
    comments: int | None = None
    created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text, as its publisher gives it; each row has a cell a column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """A document that a company filed."""

    accession_number: str
    form: str
    filed: date
    report_date: date | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company that files with the SEC, with its recent filings, newest first."""

    cik: str
    name: str
    tickers: tuple[str, ...] = ()
    filings: tuple[Filing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One reported value of a company."""

    end: date
    value: float
    unit: str
    form: str | None = None
    filed: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a company reported under one concept."""

    company: str
    concept: str
    label: str | None
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A published set of data."""

    title: str
    description: str | None = None
    publisher: str | None = None
    modified: str | None = None
    url: str | None = None
    keywords: tuple[str, ...] = ()
    downloads: tuple[str, ...] = ()
