"""From the bodies of the catalogue's APIs to typed results; one function a format, named in the catalogue.

A parser is a function of a body's bytes. It raises `ShapeError` for what isn't the format, and `RefusedError` for a
body of status 200 that is an error message.
"""

from collections.abc import Callable
from typing import Any

from resilience.external._parsers import news, papers, prices, public_data
from resilience.external._values import Value

Parser = Callable[[bytes], Any]


def json(body: bytes) -> Any:
    """Return any JSON document as plain Python values."""
    return Value.parse(body).raw


def text(body: bytes) -> str:
    """Return text in UTF-8."""
    from resilience.external._values import ShapeError

    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ShapeError("no UTF-8") from None


PARSERS: dict[str, Parser] = {
    "json": json,
    "text": text,
    "arxiv_feed": papers.arxiv_feed,
    "pubmed_ids": papers.pubmed_ids,
    "pubmed_articles": papers.pubmed_articles,
    "semantic_scholar_search": papers.semantic_scholar_search,
    "semantic_scholar_paper": papers.semantic_scholar_paper,
    "crossref_works": papers.crossref_works,
    "crossref_work": papers.crossref_work,
    "openalex_works": papers.openalex_works,
    "openalex_work": papers.openalex_work,
    "alpha_vantage_quote": prices.alpha_vantage_quote,
    "alpha_vantage_daily": prices.alpha_vantage_daily,
    "yahoo_quote": prices.yahoo_quote,
    "yahoo_series": prices.yahoo_series,
    "polygon_quote": prices.polygon_quote,
    "polygon_series": prices.polygon_series,
    "newsapi_articles": news.newsapi_articles,
    "guardian_articles": news.guardian_articles,
    "reddit_posts": news.reddit_posts,
    "hacker_news_ids": news.hacker_news_ids,
    "hacker_news_item": news.hacker_news_item,
    "census_table": public_data.census_table,
    "sec_company": public_data.sec_company,
    "sec_facts": public_data.sec_facts,
    "data_gov_datasets": public_data.data_gov_datasets,
}
