"""Public data of the United States: Census, SEC EDGAR and data.gov."""

from resilience.external._results import Company, Dataset, Fact, Facts, Filing, Page, Table
from resilience.external._values import ShapeError, Value


def census_table(body: bytes) -> Table:
    """Read a table: a list of lists, the first of which names the columns."""
    rows = [tuple(cell.text_or_none() for cell in row) for row in Value.parse(body)]
    if not rows:
        raise ShapeError("the table has no row of names")
    columns = tuple(name for name in rows[0] if name is not None)
    if any(len(row) != len(columns) for row in rows):
        raise ShapeError("the rows of the table have different lengths")
    return Table(columns=columns, rows=tuple(rows[1:]))


def sec_company(body: bytes) -> Company:
    """Read a company's submissions."""
    document = Value.parse(body)
    recent = document["filings"]["recent"]
    names = ("accessionNumber", "form", "filingDate", "reportDate", "primaryDocument")
    columns = [list(recent[name]) for name in names]
    if len({len(column) for column in columns}) != 1:
        raise ShapeError("the columns of filings.recent have different lengths")
    return Company(
        cik=document["cik"].text(),
        name=document["name"].text(),
        tickers=tuple(ticker.text() for ticker in document["tickers"].some()),
        filings=tuple(
            Filing(
                accession_number=number.text(),
                form=form.text(),
                filed=filed.day(),
                report_date=reported.day_or_none(),
                document=name.text_or_none(),
            )
            for number, form, filed, reported, name in zip(*columns, strict=True)
        ),
    )


def sec_facts(body: bytes) -> Facts:
    """Read what a company reported under one concept."""
    document = Value.parse(body)
    return Facts(
        company=document["entityName"].text(),
        concept=document["tag"].text(),
        label=document["label"].text_or_none(),
        facts=tuple(
            Fact(
                end=each["end"].day(),
                value=each["val"].number(),
                unit=unit,
                form=each["form"].text_or_none(),
                filed=each["filed"].day_or_none(),
            )
            for unit, points in document["units"].entries()
            for each in points
        ),
    )


def data_gov_datasets(body: bytes) -> Page[Dataset]:
    """Read a page of the catalogue."""
    document = Value.parse(body)
    return Page(
        tuple(_dataset(each["dcat"]) for each in document["results"]), next=document["after"].text_or_none()
    )


def _dataset(dcat: Value) -> Dataset:
    publisher = dcat["publisher"]
    links = (
        each["downloadURL"].text_or_none() or each["accessURL"].text_or_none()
        for each in dcat["distribution"].some()
    )
    return Dataset(
        title=dcat["title"].text(),
        description=dcat["description"].text_or_none(),
        publisher=publisher["name"].text_or_none() if publisher else None,
        modified=dcat["modified"].text_or_none(),
        url=dcat["landingPage"].text_or_none(),
        keywords=tuple(word.text() for word in dcat["keyword"].some()),
        downloads=tuple(link for link in links if link),
    )
