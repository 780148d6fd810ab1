"""News and talk: NewsAPI, the Guardian, Reddit and Hacker News."""

from resilience.external._results import Article, Page, Post
from resilience.external._values import RefusedError, ShapeError, Value


def newsapi_articles(body: bytes) -> Page[Article]:
    """Read a list of articles."""
    document = Value.parse(body)
    if document["status"].text() != "ok":
        raise RefusedError(400, document["message"].text_or_none() or "NewsAPI doesn't say why")
    articles = tuple(
        Article(
            title=each["title"].text(),
            url=each["url"].text(),
            source=each["source"]["name"].text_or_none(),
            author=each["author"].text_or_none(),
            published=each["publishedAt"].moment_or_none(),
            summary=each["description"].text_or_none(),
        )
        for each in document["articles"]
    )
    return Page(articles, document["totalResults"].whole_or_none())


def guardian_articles(body: bytes) -> Page[Article]:
    """Read a search's page."""
    response = Value.parse(body)["response"]
    if response["status"].text() != "ok":
        raise RefusedError(400, response["message"].text_or_none() or "the Guardian doesn't say why")
    return Page(tuple(_guardian(each) for each in response["results"]), response["total"].whole_or_none())


def _guardian(article: Value) -> Article:
    fields = article["fields"]
    return Article(
        title=article["webTitle"].text(),
        url=article["webUrl"].text(),
        source="The Guardian",
        author=fields["byline"].text_or_none() if fields else None,
        published=article["webPublicationDate"].moment_or_none(),
        summary=fields["trailText"].text_or_none() if fields else None,
    )


def reddit_posts(body: bytes) -> Page[Post]:
    """Read a listing of links; what else a listing holds is left out."""
    document = Value.parse(body)
    if document["kind"].text() != "Listing":
        raise ShapeError("the document is no Listing")
    data = document["data"]
    posts = tuple(_reddit(each["data"]) for each in data["children"] if each["kind"].text() == "t3")
    return Page(posts, next=data["after"].text_or_none())


def _reddit(post: Value) -> Post:
    return Post(
        id=post["id"].text(),
        title=post["title"].text(),
        author=post["author"].text_or_none(),
        url=post["url"].text_or_none(),
        text=post["selftext"].text_or_none(),
        score=post["score"].whole_or_none(),
        comments=post["num_comments"].whole_or_none(),
        created=post["created_utc"].moment_or_none(),
    )


def hacker_news_ids(body: bytes) -> Page[int]:
    """Read a list of items' numbers, best first."""
    return Page(tuple(each.whole() for each in Value.parse(body)))


def hacker_news_item(body: bytes) -> Post:
    """Read one item; deleted ones and comments have no title."""
    item = Value.parse(body)
    if not item:
        raise RefusedError(404, "no such item")
    return Post(
        id=str(item["id"].whole()),
        title=item["title"].text_or_none() or "",
        author=item["by"].text_or_none(),
        url=item["url"].text_or_none(),
        text=item["text"].text_or_none(),
        score=item["score"].whole_or_none(),
        comments=item["descendants"].whole_or_none(),
        created=item["time"].moment_or_none(),
    )
