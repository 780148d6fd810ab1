"""External APIs from a catalogue: guarded, limited, cached, and parsed to typed results.

``ExternalApi("arxiv")`` needs the extras ``http`` and ``yaml``; importing this module needs neither.
"""

from resilience.external._api import ExternalApi
from resilience.external._catalogue import Catalogue, load_catalog
from resilience.external._errors import (
    AnswerTooLargeError,
    ApiStatusError,
    ApiUnreachableError,
    ExternalApiError,
    MalformedAnswerError,
    MissingCredentialError,
)
from resilience.external._results import (
    Answer,
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
from resilience.external._spec import ApiSpec, Credential, Operation, Probe, Rate
from resilience.external._values import RefusedError, ShapeError

__all__ = [
    "Answer",
    "AnswerTooLargeError",
    "ApiSpec",
    "ApiStatusError",
    "ApiUnreachableError",
    "Article",
    "Catalogue",
    "Company",
    "Credential",
    "Dataset",
    "ExternalApi",
    "ExternalApiError",
    "Fact",
    "Facts",
    "Filing",
    "MalformedAnswerError",
    "MissingCredentialError",
    "Operation",
    "Page",
    "Paper",
    "Post",
    "PriceBar",
    "PriceSeries",
    "Probe",
    "Quote",
    "Rate",
    "RefusedError",
    "ShapeError",
    "Table",
    "load_catalog",
]
