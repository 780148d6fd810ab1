"""The catalogue's APIs against servers that answer in their formats: what is asked, and the typed result."""

import asyncio
import functools
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resilience import external
from resilience.external import (
    Answer,
    ApiStatusError,
    Article,
    Company,
    Dataset,
    ExternalApi,
    Fact,
    Facts,
    Filing,
    MissingCredentialError,
    Page,
    Paper,
    Post,
    PriceBar,
    PriceSeries,
    Quote,
    Table,
    load_catalog,
)
from resilience.testing import ManualClock
from support.api_bodies import ANSWERS, ARXIV, ARXIV_ERROR, ENVIRONMENT, as_bytes
from support.api_server import api_server

CATALOGUE = load_catalog()

ARXIV_PAPER = Paper(
    id="2401.00001v2",
    title="Breakers that mend themselves",
    authors=("Ada Sample", "Bo Müller"),
    abstract="We study <breakers> & fuses.",
    published=date(2024, 1, 1),
    venue="J. Fuses 3 (2024)",
    doi="10.1000/sample.1",
    url="http://arxiv.org/abs/2401.00001v2",
    pdf_url="http://arxiv.org/pdf/2401.00001v2",
)
PUBMED_PAPER = Paper(
    id="38000001",
    title="Effects of early closing.",
    authors=("Ada Sample", "The Fuse Group"),
    abstract="Something was known.\nMore is known now.",
    published=date(2023, 11, 15),
    venue="Journal of Samples",
    doi="10.1000/sample.2",
    url="https://pubmed.ncbi.nlm.nih.gov/38000001/",
)
SCHOLAR_PAPER = Paper(
    id="649def34f8be52c8b66281af98ae884c09aef38b",
    title="Half-open questions",
    authors=("Cy Sample",),
    published=date(2022, 1, 1),
    venue="Sample Conference",
    doi="10.1000/sample.3",
    url="https://www.semanticscholar.org/paper/649def34",
    pdf_url="https://sample.example/3.pdf",
    citations=17,
)
CROSSREF_PAPER = Paper(
    id="10.1000/sample.4",
    title="On windows",
    authors=("Di Sample", "A Consortium"),
    published=date(2021, 6, 1),
    venue="Sliding Letters",
    doi="10.1000/sample.4",
    url="https://doi.org/10.1000/sample.4",
    citations=4,
)
OPENALEX_PAPER = Paper(
    id="W2741809807",
    title="The state of samples",
    authors=("Ed Sample",),
    abstract="Samples and again",
    published=date(2018, 2, 13),
    venue="SampleJ",
    doi="10.1000/sample.5",
    url="https://doi.org/10.1000/sample.5",
    citations=1022,
)
FIRST_BAR = PriceBar(time=date(2024, 5, 2), open=9.0, high=10.5, low=8.5, close=10.1, volume=30.0)
POLYGON_TIME = datetime(2020, 11, 10, 21, 0, tzinfo=UTC)
NEWS = Article(
    title="Breaker closes early",
    url="https://sample.example/news/1",
    source="Sample Times",
    author="Fay Sample",
    published=datetime(2024, 5, 3, 12, 30, tzinfo=UTC),
    summary="It was seen to be back.",
)
REDDIT_POST = Post(
    id="abd",
    title="Retry or not?",
    author="sample_user",
    url="https://www.reddit.com/r/sample/comments/abd/",
    score=12,
    comments=3,
    created=datetime(2024, 5, 3, 13, 30, tzinfo=UTC),
)

# what is asked (path, some of the query, some headers), and the result
EXPECTED = {
    ("arxiv", "search"): (
        "/query",
        {"search_query": "all:breakers", "start": "0", "max_results": "10"},
        {},
        Page((ARXIV_PAPER,), 421),
    ),
    ("arxiv", "papers"): ("/query", {"id_list": "2401.00001"}, {}, Page((ARXIV_PAPER,), 421)),
    ("pubmed", "search"): (
        "/esearch.fcgi",
        {"db": "pubmed", "term": "breakers", "api_key": "ncbi-secret"},
        {},
        Page(("38000001", "38000002"), 1234),
    ),
    ("pubmed", "papers"): (
        "/efetch.fcgi",
        {"id": "38000001", "retmode": "xml"},
        {},
        Page((PUBMED_PAPER,), 1),
    ),
    ("semantic-scholar", "search"): (
        "/paper/search",
        {"query": "breakers"},
        {},
        Page((SCHOLAR_PAPER,), 15117),
    ),
    ("semantic-scholar", "paper"): ("/paper/DOI%3A10.1000%2Fsample.3", {}, {}, SCHOLAR_PAPER),
    ("crossref", "search"): (
        "/works",
        {"query": "windows", "mailto": "someone@sample.example"},
        {},
        Page((CROSSREF_PAPER,), 99),
    ),
    ("crossref", "paper"): ("/works/10.1000%2Fsample.4", {}, {}, CROSSREF_PAPER),
    ("openalex", "search"): (
        "/works",
        {"search": "samples", "cursor": "*"},
        {},
        Page((OPENALEX_PAPER,), 12, "Ij5"),
    ),
    ("openalex", "paper"): ("/works/W2741809807", {}, {}, OPENALEX_PAPER),
    ("alpha-vantage", "quote"): (
        "/query",
        {"function": "GLOBAL_QUOTE", "symbol": "SMPL", "apikey": "alpha-secret"},
        {},
        Quote(symbol="SMPL", price=11.25, previous_close=10.1, volume=3200100.0, time=date(2024, 5, 3)),
    ),
    ("alpha-vantage", "daily"): (
        "/query",
        {"function": "TIME_SERIES_DAILY"},
        {},
        PriceSeries(
            symbol="SMPL",
            bars=(
                FIRST_BAR,
                PriceBar(time=date(2024, 5, 3), open=10.0, high=12.5, low=9.5, close=11.25, volume=32.0),
            ),
        ),
    ),
    ("yahoo-finance", "quote"): (
        "/v8/finance/chart/SMPL",
        {"range": "1d"},
        {},
        Quote(
            symbol="SMPL",
            price=11.25,
            previous_close=10.1,
            volume=3200100.0,
            currency="USD",
            time=datetime(2024, 5, 3, 20, 0, tzinfo=UTC),
        ),
    ),
    ("yahoo-finance", "daily"): (
        "/v8/finance/chart/SMPL",
        {"interval": "1d", "range": "5d"},
        {},
        PriceSeries(
            symbol="SMPL",
            currency="USD",
            bars=(
                PriceBar(
                    time=datetime(2024, 5, 2, 13, 30, tzinfo=UTC),
                    open=9.0,
                    high=10.5,
                    low=8.5,
                    close=10.1,
                    volume=30.0,
                ),
            ),
        ),
    ),
    ("polygon", "quote"): (
        "/v2/aggs/ticker/SMPL/prev",
        {},
        {"authorization": "Bearer polygon-secret"},
        Quote(symbol="SMPL", price=115.97, volume=131704427.0, time=POLYGON_TIME),
    ),
    ("polygon", "daily"): (
        "/v2/aggs/ticker/SMPL/range/1/day/2020-11-10/2020-11-11",
        {"sort": "asc"},
        {},
        PriceSeries(
            symbol="SMPL",
            bars=(
                PriceBar(
                    time=POLYGON_TIME, open=115.55, high=117.59, low=114.13, close=115.97, volume=131704427.0
                ),
            ),
        ),
    ),
    ("newsapi", "search"): (
        "/everything",
        {"q": "breaker", "language": "en"},
        {"x-api-key": "news-secret"},
        Page((NEWS,), 2),
    ),
    ("newsapi", "headlines"): ("/top-headlines", {"country": "us"}, {}, Page((NEWS,), 2)),
    ("guardian", "search"): (
        "/search",
        {"q": "resilience", "page-size": "10", "api-key": "guardian-secret"},
        {},
        Page(
            (
                Article(
                    title="A sample of resilience",
                    url="https://www.theguardian.com/technology/2024/may/03/sample",
                    source="The Guardian",
                    author="Gus Sample",
                    published=datetime(2024, 5, 3, 11, 0, tzinfo=UTC),
                    summary="What holds.",
                ),
            ),
            3,
        ),
    ),
    ("reddit", "hot"): (
        "/r/sample/hot",
        {"limit": "10"},
        {"authorization": "Bearer reddit-secret", "user-agent": "linux:sample:1 (by /u/sample)"},
        Page((REDDIT_POST,), next="t3_abc"),
    ),
    ("reddit", "search"): (
        "/search",
        {"q": "retry", "after": "t3_abb"},
        {},
        Page((REDDIT_POST,), next="t3_abc"),
    ),
    ("hacker-news", "top"): ("/topstories.json", {}, {}, Page((8863, 8864))),
    ("hacker-news", "item"): (
        "/item/8863.json",
        {},
        {},
        Post(
            id="8863",
            title="My YC app",
            author="sample",
            url="http://sample.example/u.html",
            score=104,
            comments=71,
            created=datetime(2007, 4, 4, 19, 16, 40, tzinfo=UTC),
        ),
    ),
    ("census", "acs5"): (
        "/data/2022/acs/acs5",
        {"get": "NAME,B01001_001E", "for": "state:*", "key": "census-secret"},
        {},
        Table(
            columns=("NAME", "B01001_001E", "state"),
            rows=(("Alabama", "5028092", "01"), ("Alaska", None, "02")),
        ),
    ),
    ("sec-edgar", "company"): (
        "/submissions/CIK0000320193.json",
        {},
        {"user-agent": "Sample Ltd contact@sample.example"},
        Company(
            cik="0000320193",
            name="Sample Inc.",
            tickers=("SMPL",),
            filings=(
                Filing(
                    accession_number="0000320193-24-000069",
                    form="10-Q",
                    filed=date(2024, 5, 3),
                    report_date=date(2024, 3, 30),
                    document="smpl-20240330.htm",
                ),
                Filing(accession_number="0000320193-24-000067", form="8-K", filed=date(2024, 5, 2)),
            ),
        ),
    ),
    ("sec-edgar", "concept"): (
        "/api/xbrl/companyconcept/CIK0000320193/us-gaap/Assets.json",
        {},
        {},
        Facts(
            company="Sample Inc.",
            concept="Assets",
            label="Assets",
            facts=(
                Fact(
                    end=date(2008, 9, 27),
                    value=39572000000.0,
                    unit="USD",
                    form="10-Q",
                    filed=date(2009, 7, 22),
                ),
            ),
        ),
    ),
    ("data-gov", "search"): (
        "/search",
        {"q": "samples"},
        {"x-api-key": "gov-secret"},
        Page(
            (
                Dataset(
                    title="Samples of the nation",
                    description="Each of them.",
                    publisher="Department of Samples",
                    modified="2024-05-01",
                    url="https://samples.example/",
                    keywords=("sample", "nation"),
                    downloads=("https://samples.example/all.csv",),
                ),
            ),
            next="WzEw",
        ),
    ),
}


def make(name, server, **settings):
    settings.setdefault("environment", ENVIRONMENT)
    settings.setdefault("clock", ManualClock())
    return ExternalApi(name, base_url=server.url, **settings)


def test_every_operation_of_the_catalogue_has_an_example():
    everything = {(spec.name, operation) for spec in CATALOGUE.values() for operation in spec.operations}
    assert {(api, operation) for api, operation, *_ in ANSWERS} == everything == set(EXPECTED)


@pytest.mark.parametrize(
    ("api", "operation", "arguments", "kind", "body"), ANSWERS, ids=lambda each: str(each)[:20]
)
async def test_an_answer_in_the_apis_format_becomes_a_typed_result(api, operation, arguments, kind, body):
    path, query, headers, result = EXPECTED[api, operation]
    async with api_server() as server, make(api, server) as under_test:
        server.says(as_bytes(body), kind)
        answer = await under_test.request(operation, **arguments)
        assert answer == Answer(result)
        (asked,) = server.asked
        assert asked.path == path
        assert query.items() <= asked.query.items()
        assert headers.items() <= asked.headers.items()
        assert under_test.breaker.success_count == 1


async def test_a_fresh_answer_is_not_asked_for_again_and_has_an_age():
    clock = ManualClock()
    async with api_server() as server, make("hacker-news", server, clock=clock) as under_test:
        server.says(b"[1]")
        assert (await under_test.request("top")).age == 0
        clock.advance(200)
        assert await under_test.request("top") == Answer(Page((1,)), age=pytest.approx(200))
        clock.advance(101)  # five minutes are over
        server.says(b"[2]")
        assert await under_test.request("top") == Answer(Page((2,)))
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("api", "operation", "arguments", "body", "status", "failures"),
    [
        ("arxiv", "papers", {"ids": "1234"}, ARXIV_ERROR, 400, 0),
        ("pubmed", "search", {"query": "x"}, {"esearchresult": {"ERROR": "Empty term"}}, 400, 0),
        ("alpha-vantage", "quote", {"symbol": "?"}, {"Error Message": "Invalid API call."}, 400, 0),
        ("alpha-vantage", "quote", {"symbol": "?"}, {"Global Quote": {}}, 404, 0),
        ("alpha-vantage", "quote", {"symbol": "A"}, {"Information": "This is a premium endpoint."}, 403, 0),
        ("alpha-vantage", "quote", {"symbol": "A"}, {"Information": "The limit is 25 requests per day."}, 429, 1),
        (
            "yahoo-finance",
            "quote",
            {"symbol": "?"},
            {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}},
            404,
            0,
        ),
        ("polygon", "quote", {"symbol": "?"}, {"status": "ERROR", "error": "bad ticker"}, 400, 0),
        ("newsapi", "search", {"query": "x"}, {"status": "error", "code": "x", "message": "no"}, 400, 0),
        ("guardian", "search", {"query": "x"}, {"response": {"status": "error", "message": "no"}}, 400, 0),
        ("hacker-news", "item", {"id": 0}, None, 404, 0),
    ],
)  # fmt: skip
async def test_an_error_sent_as_a_success_is_told_apart(api, operation, arguments, body, status, failures):
    async with api_server() as server, make(api, server) as under_test:
        server.says(as_bytes(body))
        with pytest.raises(ApiStatusError) as refused:
            await under_test.request(operation, **arguments)
        assert refused.value.status_code == status
        assert under_test.breaker.failure_count == failures


@pytest.mark.parametrize(
    "name", [spec.name for spec in CATALOGUE.values() if any(c.required for c in spec.credentials)]
)
def test_a_missing_credential_is_named_at_construction(name):
    with pytest.raises(MissingCredentialError, match=r"environment variable [A-Z_]+ must be set"):
        ExternalApi(name, environment={})


async def test_an_argument_cannot_leave_its_place_in_the_path():
    async with api_server() as server, make("openalex", server) as under_test:
        server.says(b"{}")
        for hostile in ("..", ".", "", "a\r\nX-Header: 1", "a\ud800", "x" * 2001):
            with pytest.raises(ValueError, match="id must be"):
                await under_test.request("paper", id=hostile)
        assert server.asked == []
        with pytest.raises(Exception, match="must be text"):
            await under_test.request("paper", id="../../admin?x=1#y")
        assert server.asked[0].path == "/works/..%2F..%2Fadmin%3Fx%3D1%23y"


@pytest.mark.parametrize(
    ("operation", "arguments", "kind", "message"),
    [
        ("find", {}, ValueError, "arxiv has no operation 'find'; there are search, papers"),
        ("search", {}, TypeError, "argument 'query' is missing"),
        ("search", {"query": "x", "page": 2}, TypeError, "unknown argument 'page'; there are query, offset, limit"),
        ("search", {"query": "x", "limit": 101}, ValueError, r"limit must be a whole number in \[0, 100\], got 101"),
        ("search", {"query": "x", "limit": "9"}, TypeError, "limit must be a whole number, got str"),
        ("search", {"query": ["x"]}, TypeError, "query must be text, a number or a date, got list"),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_before_anything_is_sent(operation, arguments, kind, message):
    async with api_server() as server, make("arxiv", server) as under_test:
        with pytest.raises(kind, match=message):
            await under_test.request(operation, **arguments)
        assert server.asked == []
        assert under_test.breaker.get_stats()["state"] == "closed"


def test_importing_needs_no_client_library():
    code = (
        "import sys, resilience.external; print(sorted({'httpx', 'yaml', 'defusedxml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


async def test_the_first_example_of_the_guide_runs_as_pasted(monkeypatch, capsys):
    guide = (Path(__file__).parents[2] / "docs/how-to/external-apis.md").read_text()
    program = guide.partition("```python\n")[2].partition("```")[0]
    async with api_server() as server:
        server.says(as_bytes(ARXIV), "application/atom+xml")
        monkeypatch.setattr(external, "ExternalApi", functools.partial(ExternalApi, base_url=server.url))
        await asyncio.to_thread(exec, program, {})
    assert capsys.readouterr().out == "2024-01-01 Breakers that mend themselves by Ada Sample, Bo Müller\n"


def test_the_guide_lists_the_catalogue():
    guide = (Path(__file__).parents[2] / "docs/how-to/external-apis.md").read_text()
    for spec in CATALOGUE.values():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{spec.name}` |")]
        assert all(f"`{operation}(" in row for operation in spec.operations)
        for credential in spec.credentials:
            assert ("**" if credential.required else "") + f"`{credential.variable}`" in row
