"""What the catalogue's APIs are asked by the examples of `api_bodies`, and the results that their answers become."""

from datetime import UTC, date, datetime

from resilience.external import (
    Article,
    Company,
    Dataset,
    Fact,
    Facts,
    Filing,
    Page,
    Paper,
    Post,
    PriceBar,
    PriceSeries,
    Quote,
    Table,
)

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
