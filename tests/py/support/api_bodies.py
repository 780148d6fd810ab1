"""Answers of the catalogue's APIs in their documented formats, with invented contents."""

import json

from resilience.external import ApiSpec

ENVIRONMENT = {
    "ALPHA_VANTAGE_API_KEY": "alpha-secret",
    "POLYGON_API_KEY": "polygon-secret",
    "NEWSAPI_API_KEY": "news-secret",
    "GUARDIAN_API_KEY": "guardian-secret",
    "REDDIT_ACCESS_TOKEN": "reddit-secret",
    "REDDIT_USER_AGENT": "linux:sample:1 (by /u/sample)",
    "SEC_EDGAR_USER_AGENT": "Sample Ltd contact@sample.example",
    "DATA_GOV_API_KEY": "gov-secret",
    "NCBI_API_KEY": "ncbi-secret",
    "CROSSREF_MAILTO": "someone@sample.example",
    "CENSUS_API_KEY": "census-secret",
}

ARXIV = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <link href="http://arxiv.org/api/query?search_query%3Dall%3Abreakers" rel="self" type="application/atom+xml"/>
  <title type="html">ArXiv Query: search_query=all:breakers</title>
  <id>http://arxiv.org/api/sample</id>
  <updated>2024-03-01T00:00:00-05:00</updated>
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">421</opensearch:totalResults>
  <opensearch:startIndex xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">0</opensearch:startIndex>
  <entry>
    <id>http://arxiv.org/abs/2401.00001v2</id>
    <updated>2024-01-05T10:00:00Z</updated>
    <published>2024-01-01T09:30:00Z</published>
    <title>Breakers that
      mend themselves</title>
    <summary>  We study &lt;breakers&gt; &amp; fuses. </summary>
    <author><name>Ada Sample</name></author>
    <author><name>Bo Müller</name><arxiv:affiliation xmlns:arxiv="http://arxiv.org/schemas/atom">X</arxiv:affiliation></author>
    <arxiv:doi xmlns:arxiv="http://arxiv.org/schemas/atom">10.1000/sample.1</arxiv:doi>
    <arxiv:journal_ref xmlns:arxiv="http://arxiv.org/schemas/atom">J. Fuses 3 (2024)</arxiv:journal_ref>
    <link href="http://arxiv.org/abs/2401.00001v2" rel="alternate" type="text/html"/>
    <link title="pdf" href="http://arxiv.org/pdf/2401.00001v2" rel="related" type="application/pdf"/>
    <category term="cs.DC" scheme="http://arxiv.org/schemas/atom"/>
  </entry>
</feed>"""

ARXIV_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">1</opensearch:totalResults>
  <entry>
    <id>http://arxiv.org/api/errors#incorrect_id_format_for_1234</id>
    <title>Error</title>
    <summary>incorrect id format for 1234</summary>
  </entry>
</feed>"""

PUBMED_IDS = {
    "header": {"type": "esearch", "version": "0.3"},
    "esearchresult": {
        "count": "1234",
        "retmax": "2",
        "retstart": "0",
        "idlist": ["38000001", "38000002"],
        "querytranslation": "breakers[All Fields]",
    },
}

PUBMED = """<?xml version="1.0" ?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN"
 "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">
<PubmedArticleSet>
  <PubmedArticle>
    <MedlineCitation Status="MEDLINE" Owner="NLM">
      <PMID Version="1">38000001</PMID>
      <Article PubModel="Print">
        <Journal>
          <JournalIssue CitedMedium="Internet"><Volume>7</Volume>
            <PubDate><Year>2023</Year><Month>Nov</Month><Day>15</Day></PubDate></JournalIssue>
          <Title>Journal of Samples</Title>
        </Journal>
        <ArticleTitle>Effects of <i>early</i> closing.</ArticleTitle>
        <Abstract>
          <AbstractText Label="BACKGROUND">Something was known.</AbstractText>
          <AbstractText Label="RESULTS">More is known now.</AbstractText>
        </Abstract>
        <AuthorList CompleteYN="Y">
          <Author ValidYN="Y"><LastName>Sample</LastName><ForeName>Ada</ForeName><Initials>A</Initials></Author>
          <Author ValidYN="Y"><CollectiveName>The Fuse Group</CollectiveName></Author>
        </AuthorList>
      </Article>
    </MedlineCitation>
    <PubmedData><ArticleIdList>
      <ArticleId IdType="pubmed">38000001</ArticleId>
      <ArticleId IdType="doi">10.1000/sample.2</ArticleId>
    </ArticleIdList></PubmedData>
  </PubmedArticle>
</PubmedArticleSet>"""

SEMANTIC_SCHOLAR_PAPER = {
    "paperId": "649def34f8be52c8b66281af98ae884c09aef38b",
    "externalIds": {"DOI": "10.1000/sample.3", "CorpusId": 1},
    "url": "https://www.semanticscholar.org/paper/649def34",
    "title": "Half-open questions",
    "abstract": None,
    "venue": "Sample Conference",
    "year": 2022,
    "publicationDate": None,
    "citationCount": 17,
    "openAccessPdf": {"url": "https://sample.example/3.pdf", "status": "GREEN"},
    "authors": [{"authorId": "1", "name": "Cy Sample"}],
}
SEMANTIC_SCHOLAR = {"total": 15117, "offset": 0, "next": 1, "data": [SEMANTIC_SCHOLAR_PAPER]}

CROSSREF_WORK = {
    "DOI": "10.1000/sample.4",
    "URL": "https://doi.org/10.1000/sample.4",
    "title": ["On windows"],
    "author": [{"given": "Di", "family": "Sample", "sequence": "first"}, {"name": "A Consortium"}],
    "container-title": ["Sliding Letters"],
    "published": {"date-parts": [[2021, 6]]},
    "is-referenced-by-count": 4,
    "type": "journal-article",
}
CROSSREF = {
    "status": "ok",
    "message-type": "work-list",
    "message": {"total-results": 99, "items-per-page": 1, "items": [CROSSREF_WORK]},
}
CROSSREF_ONE = {"status": "ok", "message-type": "work", "message": CROSSREF_WORK}

OPENALEX_WORK = {
    "id": "https://openalex.org/W2741809807",
    "doi": "https://doi.org/10.1000/sample.5",
    "title": "The state of samples",
    "display_name": "The state of samples",
    "publication_date": "2018-02-13",
    "cited_by_count": 1022,
    "authorships": [
        {"author_position": "first", "author": {"id": "https://openalex.org/A1", "display_name": "Ed Sample"}}
    ],
    "primary_location": {
        "landing_page_url": "https://doi.org/10.1000/sample.5",
        "pdf_url": None,
        "source": {"id": "https://openalex.org/S1", "display_name": "SampleJ"},
    },
    "abstract_inverted_index": {"again": [2], "Samples": [0], "and": [1]},
}
OPENALEX = {
    "meta": {"count": 12, "page": None, "per_page": 1, "next_cursor": "Ij5"},
    "results": [OPENALEX_WORK],
}

ALPHA_VANTAGE_QUOTE = {
    "Global Quote": {
        "01. symbol": "SMPL",
        "02. open": "10.0000",
        "03. high": "12.5000",
        "04. low": "9.5000",
        "05. price": "11.2500",
        "06. volume": "3200100",
        "07. latest trading day": "2024-05-03",
        "08. previous close": "10.1000",
    }
}
ALPHA_VANTAGE_DAILY = {
    "Meta Data": {"1. Information": "Daily Prices", "2. Symbol": "SMPL", "3. Last Refreshed": "2024-05-03"},
    "Time Series (Daily)": {
        "2024-05-03": {
            "1. open": "10.0",
            "2. high": "12.5",
            "3. low": "9.5",
            "4. close": "11.25",
            "5. volume": "32",
        },
        "2024-05-02": {
            "1. open": "9.0",
            "2. high": "10.5",
            "3. low": "8.5",
            "4. close": "10.1",
            "5. volume": "30",
        },
    },
}
YAHOO = {
    "chart": {
        "result": [
            {
                "meta": {
                    "currency": "USD",
                    "symbol": "SMPL",
                    "regularMarketTime": 1714766400,
                    "regularMarketPrice": 11.25,
                    "regularMarketVolume": 3200100,
                    "chartPreviousClose": 10.1,
                },
                "timestamp": [1714656600, 1714743000],
                "indicators": {
                    "quote": [
                        {
                            "open": [9.0, None],
                            "high": [10.5, None],
                            "low": [8.5, None],
                            "close": [10.1, None],
                            "volume": [30, None],
                        }
                    ]
                },
            }
        ],
        "error": None,
    }
}
POLYGON = {
    "ticker": "SMPL",
    "queryCount": 1,
    "resultsCount": 1,
    "adjusted": True,
    "results": [
        {
            "T": "SMPL",
            "v": 131704427.0,
            "vw": 116.3,
            "o": 115.55,
            "c": 115.97,
            "h": 117.59,
            "l": 114.13,
            "t": 1605042000000,
            "n": 2,
        }
    ],
    "status": "OK",
}
NEWSAPI = {
    "status": "ok",
    "totalResults": 2,
    "articles": [
        {
            "source": {"id": None, "name": "Sample Times"},
            "author": "Fay Sample",
            "title": "Breaker closes early",
            "description": "It was seen to be back.",
            "url": "https://sample.example/news/1",
            "publishedAt": "2024-05-03T12:30:00Z",
            "content": "It was… [+20 chars]",
        }
    ],
}
GUARDIAN = {
    "response": {
        "status": "ok",
        "total": 3,
        "startIndex": 1,
        "pageSize": 1,
        "results": [
            {
                "id": "technology/2024/may/03/sample",
                "type": "article",
                "webPublicationDate": "2024-05-03T11:00:00Z",
                "webTitle": "A sample of resilience",
                "webUrl": "https://www.theguardian.com/technology/2024/may/03/sample",
                "fields": {"trailText": "What holds.", "byline": "Gus Sample"},
            }
        ],
    }
}
REDDIT = {
    "kind": "Listing",
    "data": {
        "after": "t3_abc",
        "dist": 1,
        "children": [
            {"kind": "t5", "data": {"display_name": "sample"}},
            {
                "kind": "t3",
                "data": {
                    "id": "abd",
                    "title": "Retry or not?",
                    "author": "sample_user",
                    "selftext": "",
                    "url": "https://www.reddit.com/r/sample/comments/abd/",
                    "score": 12,
                    "num_comments": 3,
                    "created_utc": 1714743000.0,
                },
            },
        ],
    },
}
HACKER_NEWS_ITEM = {
    "by": "sample",
    "descendants": 71,
    "id": 8863,
    "kids": [8952],
    "score": 104,
    "time": 1175714200,
    "title": "My YC app",
    "type": "story",
    "url": "http://sample.example/u.html",
}
CENSUS = [["NAME", "B01001_001E", "state"], ["Alabama", "5028092", "01"], ["Alaska", None, "02"]]
SEC_COMPANY = {
    "cik": "0000320193",
    "entityType": "operating",
    "name": "Sample Inc.",
    "tickers": ["SMPL"],
    "filings": {
        "recent": {
            "accessionNumber": ["0000320193-24-000069", "0000320193-24-000067"],
            "filingDate": ["2024-05-03", "2024-05-02"],
            "reportDate": ["2024-03-30", ""],
            "form": ["10-Q", "8-K"],
            "primaryDocument": ["smpl-20240330.htm", ""],
        },
        "files": [],
    },
}
SEC_FACTS = {
    "cik": 320193,
    "taxonomy": "us-gaap",
    "tag": "Assets",
    "label": "Assets",
    "description": "All of them.",
    "entityName": "Sample Inc.",
    "units": {
        "USD": [
            {
                "end": "2008-09-27",
                "val": 39572000000,
                "accn": "0",
                "fy": 2009,
                "fp": "Q3",
                "form": "10-Q",
                "filed": "2009-07-22",
            }
        ]
    },
}
DATA_GOV = {
    "after": "WzEw",
    "results": [
        {
            "_score": 10.5,
            "dcat": {
                "@type": "dcat:Dataset",
                "accessLevel": "public",
                "title": "Samples of the nation",
                "description": "Each of them.",
                "publisher": {"@type": "org:Organization", "name": "Department of Samples"},
                "modified": "2024-05-01",
                "landingPage": "https://samples.example/",
                "keyword": ["sample", "nation"],
                "distribution": [{"downloadURL": "https://samples.example/all.csv", "mediaType": "text/csv"}],
            },
        }
    ],
}

XML = "application/xml; charset=utf-8"
JSON = "application/json; charset=utf-8"

# API, operation, its arguments, content type, body
ANSWERS = [
    ("arxiv", "search", {"query": "all:breakers"}, "application/atom+xml; charset=utf-8", ARXIV),
    ("arxiv", "papers", {"ids": "2401.00001"}, "application/atom+xml; charset=utf-8", ARXIV),
    ("pubmed", "search", {"query": "breakers"}, JSON, PUBMED_IDS),
    ("pubmed", "papers", {"ids": "38000001"}, XML, PUBMED),
    ("semantic-scholar", "search", {"query": "breakers"}, JSON, SEMANTIC_SCHOLAR),
    ("semantic-scholar", "paper", {"id": "DOI:10.1000/sample.3"}, JSON, SEMANTIC_SCHOLAR_PAPER),
    ("crossref", "search", {"query": "windows"}, JSON, CROSSREF),
    ("crossref", "paper", {"doi": "10.1000/sample.4"}, JSON, CROSSREF_ONE),
    ("openalex", "search", {"query": "samples"}, JSON, OPENALEX),
    ("openalex", "paper", {"id": "W2741809807"}, JSON, OPENALEX_WORK),
    ("alpha-vantage", "quote", {"symbol": "SMPL"}, JSON, ALPHA_VANTAGE_QUOTE),
    ("alpha-vantage", "daily", {"symbol": "SMPL"}, JSON, ALPHA_VANTAGE_DAILY),
    ("yahoo-finance", "quote", {"symbol": "SMPL"}, JSON, YAHOO),
    ("yahoo-finance", "daily", {"symbol": "SMPL", "range": "5d"}, JSON, YAHOO),
    ("polygon", "quote", {"symbol": "SMPL"}, JSON, POLYGON),
    ("polygon", "daily", {"symbol": "SMPL", "start": "2020-11-10", "end": "2020-11-11"}, JSON, POLYGON),
    ("newsapi", "search", {"query": "breaker", "language": "en"}, JSON, NEWSAPI),
    ("newsapi", "headlines", {}, JSON, NEWSAPI),
    ("guardian", "search", {"query": "resilience"}, JSON, GUARDIAN),
    ("reddit", "hot", {"subreddit": "sample"}, JSON, REDDIT),
    ("reddit", "search", {"query": "retry", "cursor": "t3_abb"}, JSON, REDDIT),
    ("hacker-news", "top", {}, JSON, [8863, 8864]),
    ("hacker-news", "item", {"id": 8863}, JSON, HACKER_NEWS_ITEM),
    ("census", "acs5", {"year": 2022, "variables": "NAME,B01001_001E", "geography": "state:*"}, JSON, CENSUS),
    ("sec-edgar", "company", {"cik": "0000320193"}, JSON, SEC_COMPANY),
    ("sec-edgar", "concept", {"cik": "0000320193", "concept": "Assets"}, JSON, SEC_FACTS),
    ("data-gov", "search", {"query": "samples"}, JSON, DATA_GOV),
]  # fmt: skip


def as_bytes(body: object) -> bytes:
    """A body as it is sent."""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def example_of(spec: ApiSpec) -> tuple[str, dict[str, object], str, bytes]:
    """An operation of an API, its arguments, and content type and body of the answer."""
    return next((op, args, kind, as_bytes(body)) for api, op, args, kind, body in ANSWERS if api == spec.name)
