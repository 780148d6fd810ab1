"""Scholarly works: arXiv's Atom, PubMed's JSON and XML, the JSON of Semantic Scholar, CrossRef and OpenAlex."""

import re
from datetime import date
from typing import TYPE_CHECKING

from resilience.external._results import Page, Paper
from resilience.external._values import (
    RefusedError,
    ShapeError,
    Value,
    day_of,
    need,
    parse_xml,
    whole_of,
    xml_text,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # a type: defusedxml parses  # nosec B405

_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
_DOI = re.compile(r"^https?://(?:dx\.)?doi\.org/", re.IGNORECASE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST_ABSTRACT = 20_000  # words


def arxiv_feed(body: bytes) -> Page[Paper]:
    """Read arXiv's answer to a query."""
    feed = parse_xml(body)
    if feed.tag != f"{_ATOM}feed":
        raise ShapeError("the document is no Atom feed")
    total = whole_of(xml_text(feed, f"{_SEARCH}totalResults"), "totalResults")
    return Page(tuple(_arxiv_paper(entry) for entry in feed.findall(f"{_ATOM}entry")), total)


def _arxiv_paper(entry: "Element") -> Paper:
    identifier = need(xml_text(entry, f"{_ATOM}id"), "an entry's id")
    if "/api/errors" in identifier:
        raise RefusedError(400, xml_text(entry, f"{_ATOM}summary") or "arXiv doesn't say why")
    names = (xml_text(author, f"{_ATOM}name") for author in entry.findall(f"{_ATOM}author"))
    links = entry.findall(f"{_ATOM}link")
    pdf = next((link.get("href") for link in links if link.get("title") == "pdf"), None)
    return Paper(
        id=identifier.rpartition("/abs/")[2],
        title=need(xml_text(entry, f"{_ATOM}title"), "an entry's title"),
        authors=tuple(name for name in names if name),
        abstract=xml_text(entry, f"{_ATOM}summary"),
        published=day_of(xml_text(entry, f"{_ATOM}published"), "published"),
        venue=xml_text(entry, f"{_ARXIV}journal_ref"),
        doi=xml_text(entry, f"{_ARXIV}doi"),
        url=identifier,
        pdf_url=pdf,
    )


def pubmed_ids(body: bytes) -> Page[str]:
    """Read the answer of ESearch: identifiers for EFetch."""
    result = Value.parse(body)["esearchresult"]
    if result["ERROR"]:
        raise RefusedError(400, result["ERROR"].text())
    return Page(tuple(each.text() for each in result["idlist"]), whole_of(result["count"].text(), "count"))


def pubmed_articles(body: bytes) -> Page[Paper]:
    """Read the answer of EFetch."""
    root = parse_xml(body)
    if root.tag != "PubmedArticleSet":
        raise ShapeError("the document is no PubmedArticleSet")
    papers = tuple(_pubmed_paper(article) for article in root.findall("PubmedArticle"))
    return Page(papers, len(papers))


def _pubmed_paper(item: "Element") -> Paper:
    number = need(xml_text(item, "MedlineCitation/PMID"), "PMID")
    article = item.find("MedlineCitation/Article")
    if article is None:
        raise ShapeError(f"article {number[:20]} is empty")
    parts = [xml_text(part, ".") for part in article.findall("Abstract/AbstractText")]
    doi = next(
        (
            xml_text(each, ".")
            for each in item.findall("PubmedData/ArticleIdList/ArticleId")
            if each.get("IdType") == "doi"
        ),
        None,
    )
    return Paper(
        id=number,
        title=need(xml_text(article, "ArticleTitle"), "ArticleTitle"),
        authors=tuple(filter(None, map(_pubmed_author, article.findall("AuthorList/Author")))),
        abstract="\n".join(part for part in parts if part) or None,
        published=_pubmed_day(article.find("Journal/JournalIssue/PubDate")),
        venue=xml_text(article, "Journal/Title"),
        doi=doi,
        url=f"https://pubmed.ncbi.nlm.nih.gov/{number}/",
    )


def _pubmed_author(author: "Element") -> str | None:
    names = (xml_text(author, "ForeName"), xml_text(author, "LastName"))
    return " ".join(name for name in names if name) or xml_text(author, "CollectiveName")


def _pubmed_day(found: "Element | None") -> date | None:
    """A date of publication; some give no more than a year, or words."""
    year = None if found is None else xml_text(found, "Year")
    if found is None or year is None:
        return None
    month = xml_text(found, "Month") or "1"
    number = _MONTHS.index(month[:3]) + 1 if month[:3] in _MONTHS else whole_of(month, "Month")
    return _day(whole_of(year, "Year"), number, whole_of(xml_text(found, "Day") or "1", "Day"))


def _day(year: int | None, month: int | None, day: int | None) -> date | None:
    if year is None:
        return None
    try:
        return date(year, month or 1, day or 1)
    except (ValueError, OverflowError):
        raise ShapeError("a date of publication is no date") from None


def semantic_scholar_search(body: bytes) -> Page[Paper]:
    """Read a page of a paper search."""
    document = Value.parse(body)
    return Page(
        tuple(_semantic_scholar(paper) for paper in document["data"].some()),
        document["total"].whole_or_none(),
    )


def semantic_scholar_paper(body: bytes) -> Paper:
    """Read one paper."""
    return _semantic_scholar(Value.parse(body))


def _semantic_scholar(paper: Value) -> Paper:
    year = paper["year"].whole_or_none()
    external, pdf = paper["externalIds"], paper["openAccessPdf"]
    return Paper(
        id=paper["paperId"].text(),
        title=paper["title"].text(),
        authors=tuple(author["name"].text() for author in paper["authors"].some()),
        abstract=paper["abstract"].text_or_none(),
        published=paper["publicationDate"].day_or_none() or _day(year, 1, 1),
        venue=paper["venue"].text_or_none(),
        doi=external["DOI"].text_or_none() if external else None,
        url=paper["url"].text_or_none(),
        pdf_url=pdf["url"].text_or_none() if pdf else None,
        citations=paper["citationCount"].whole_or_none(),
    )


def crossref_works(body: bytes) -> Page[Paper]:
    """Read a list of works."""
    message = Value.parse(body)["message"]
    return Page(tuple(_crossref(work) for work in message["items"]), message["total-results"].whole_or_none())


def crossref_work(body: bytes) -> Paper:
    """Read one work."""
    return _crossref(Value.parse(body)["message"])


def _crossref(work: Value) -> Paper:
    doi = work["DOI"].text()
    titles = [title.text() for title in work["title"].some()]
    venues = [venue.text() for venue in work["container-title"].some()]
    return Paper(
        id=doi,
        title=titles[0] if titles else doi,  # some works have none
        authors=tuple(filter(None, map(_crossref_author, work["author"].some()))),
        abstract=work["abstract"].text_or_none(),
        published=_crossref_day(work["published"]),
        venue=venues[0] if venues else None,
        doi=doi,
        url=work["URL"].text_or_none(),
        citations=work["is-referenced-by-count"].whole_or_none(),
    )


def _crossref_author(author: Value) -> str | None:
    names = (author["given"].text_or_none(), author["family"].text_or_none())
    return " ".join(name for name in names if name) or author["name"].text_or_none()


def _crossref_day(published: Value) -> date | None:
    for parts in published["date-parts"] if published else ():
        numbers = [part.whole_or_none() for part in parts]
        return _day(*(numbers + [None] * 3)[:3])
    return None


def openalex_works(body: bytes) -> Page[Paper]:
    """Read a list of works."""
    document = Value.parse(body)
    meta = document["meta"]
    return Page(
        tuple(_openalex(work) for work in document["results"]),
        meta["count"].whole_or_none(),
        meta["next_cursor"].text_or_none(),
    )


def openalex_work(body: bytes) -> Paper:
    """Read one work."""
    return _openalex(Value.parse(body))


def _openalex(work: Value) -> Paper:
    place = work["primary_location"]
    source = place["source"] if place else place
    doi = work["doi"].text_or_none()
    return Paper(
        id=work["id"].text().rpartition("/")[2],
        title=work["title"].text_or_none() or work["display_name"].text_or_none() or "(without a title)",
        authors=tuple(
            each["author"]["display_name"].text_or_none() or "" for each in work["authorships"].some()
        ),
        abstract=_in_order(work["abstract_inverted_index"]),
        published=work["publication_date"].day_or_none(),
        venue=source["display_name"].text_or_none() if source else None,
        doi=_DOI.sub("", doi) if doi else None,
        url=place["landing_page_url"].text_or_none() if place else None,
        pdf_url=place["pdf_url"].text_or_none() if place else None,
        citations=work["cited_by_count"].whole_or_none(),
    )


def _in_order(index: Value) -> str | None:
    """An abstract that is given as the places of its words."""
    if not index:
        return None
    words = {place.whole(): word for word, places in index.entries() for place in places}
    if len(words) > _LONGEST_ABSTRACT:
        raise ShapeError(f"{index.path} has more than {_LONGEST_ABSTRACT} words")
    return " ".join(words[place] for place in sorted(words)) or None
