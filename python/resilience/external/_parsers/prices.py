"""Prices of securities: Alpha Vantage, Yahoo Finance and Polygon."""

from collections.abc import Iterable
from datetime import datetime

from resilience.external._results import PriceBar, PriceSeries, Quote
from resilience.external._values import RefusedError, ShapeError, Value

_LIMIT_WORDS = ("rate limit", "frequency", "requests per day", "per minute")


def _alpha_vantage(body: bytes) -> Value:
    """Read an answer; errors and spent quotas come with status 200."""
    document = Value.parse(body)
    if document["Error Message"]:
        raise RefusedError(400, document["Error Message"].text())
    for key in ("Note", "Information"):
        if document[key]:
            notice = document[key].text()
            is_limit = any(words in notice.lower() for words in _LIMIT_WORDS)
            raise RefusedError(429 if is_limit else 403, notice)
    return document


def alpha_vantage_quote(body: bytes) -> Quote:
    """Read ``GLOBAL_QUOTE``."""
    quote = _alpha_vantage(body)["Global Quote"]
    if quote.raw == {}:
        raise RefusedError(404, "no such symbol")
    return Quote(
        symbol=quote["01. symbol"].text(),
        price=quote["05. price"].number(),
        previous_close=quote["08. previous close"].number_or_none(),
        volume=quote["06. volume"].number_or_none(),
        time=quote["07. latest trading day"].day_or_none(),
    )


def alpha_vantage_daily(body: bytes) -> PriceSeries:
    """Read ``TIME_SERIES_DAILY``."""
    document = _alpha_vantage(body)
    bars = [
        PriceBar(
            time=Value(day, "Time Series (Daily)").day(),
            open=prices["1. open"].number(),
            high=prices["2. high"].number(),
            low=prices["3. low"].number(),
            close=prices["4. close"].number(),
            volume=prices["5. volume"].number_or_none(),
        )
        for day, prices in document["Time Series (Daily)"].entries()
    ]
    symbol = document["Meta Data"]["2. Symbol"].text()
    return PriceSeries(symbol=symbol, bars=tuple(sorted(bars, key=lambda bar: bar.time)))


def _yahoo(body: bytes) -> Value:
    chart = Value.parse(body)["chart"]
    if chart["error"]:
        raise RefusedError(404, chart["error"]["description"].text())
    for result in chart["result"]:
        return result
    raise ShapeError("chart.result is empty")


def yahoo_quote(body: bytes) -> Quote:
    """Read the latest price of a chart."""
    meta = _yahoo(body)["meta"]
    return Quote(
        symbol=meta["symbol"].text(),
        price=meta["regularMarketPrice"].number(),
        previous_close=meta["chartPreviousClose"].number_or_none(),
        volume=meta["regularMarketVolume"].number_or_none(),
        currency=meta["currency"].text_or_none(),
        time=meta["regularMarketTime"].moment_or_none(),
    )


def yahoo_series(body: bytes) -> PriceSeries:
    """Read a chart; periods without trade have no prices and are left out."""
    result = _yahoo(body)
    times = [time.moment() for time in result["timestamp"].some()]
    bars: tuple[PriceBar, ...] = ()
    for columns in result["indicators"]["quote"]:
        bars = tuple(_yahoo_bars(times, columns)) if times else ()
        break
    meta = result["meta"]
    return PriceSeries(symbol=meta["symbol"].text(), bars=bars, currency=meta["currency"].text_or_none())


def _yahoo_bars(times: list[datetime], columns: Value) -> Iterable[PriceBar]:
    rows = [list(columns[name]) for name in ("open", "high", "low", "close", "volume")]
    if any(len(row) != len(times) for row in rows):
        raise ShapeError("the columns of a chart have different lengths")
    for time, first, high, low, last, volume in zip(times, *rows, strict=True):
        if first and high and low and last:
            yield PriceBar(
                time=time,
                open=first.number(),
                high=high.number(),
                low=low.number(),
                close=last.number(),
                volume=volume.number_or_none(),
            )


def _polygon(body: bytes) -> tuple[str, list[PriceBar]]:
    document = Value.parse(body)
    if document["status"].text() in {"ERROR", "NOT_AUTHORIZED"}:
        raise RefusedError(400, document["error"].text_or_none() or "Polygon doesn't say why")
    bars = [
        PriceBar(
            time=_milliseconds(bar["t"]),
            open=bar["o"].number(),
            high=bar["h"].number(),
            low=bar["l"].number(),
            close=bar["c"].number(),
            volume=bar["v"].number_or_none(),
        )
        for bar in document["results"].some()
    ]
    return document["ticker"].text(), bars


def _milliseconds(value: Value) -> datetime:
    return Value(value.number() / 1000.0, value.path).moment()


def polygon_quote(body: bytes) -> Quote:
    """Read the previous day's bar."""
    symbol, bars = _polygon(body)
    if not bars:
        raise RefusedError(404, "no such ticker, or no trade")
    return Quote(symbol=symbol, price=bars[-1].close, volume=bars[-1].volume, time=bars[-1].time)


def polygon_series(body: bytes) -> PriceSeries:
    """Read aggregate bars."""
    symbol, bars = _polygon(body)
    return PriceSeries(symbol=symbol, bars=tuple(bars))
