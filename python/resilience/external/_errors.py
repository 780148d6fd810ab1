"""What an external API's call raises beside the errors of the policies around it. All pickle."""

from resilience.errors import ResilienceError

_BUSY = frozenset({408, 429})
_SERVER_ERRORS = 500


class ExternalApiError(ResilienceError):
    """A call of an external API failed.

    Args:
        api: its name in the catalogue.
        reason: for people; never holds a credential.
    """

    def __init__(self, api: str, reason: str) -> None:
        super().__init__(api, reason)

    @property
    def api(self) -> str:
        """The API's name in the catalogue."""
        return str(self.args[0])

    @property
    def reason(self) -> str:
        """What went wrong."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.api}: {self.reason}"


class ApiUnreachableError(ExternalApiError):
    """No answer came: the connection was refused, broken or no HTTP."""


class MalformedAnswerError(ExternalApiError):
    """The API answered, but not in the format that it documents."""


class AnswerTooLargeError(ExternalApiError):
    """The answer was larger than the catalogue allows, as sent or unpacked; reading stopped there."""


class MissingCredentialError(ExternalApiError):
    """The environment lacks a variable that the API needs."""


class ApiStatusError(ExternalApiError):
    """The API refused the request.

    Args:
        api: its name in the catalogue.
        reason: what the API says of it, shortened.
        status_code: the HTTP status, or the one that fits what a body of status 200 says.
        retry_after: seconds that the API asks to stay away.
    """

    def __init__(self, api: str, reason: str, status_code: int, retry_after: float | None = None) -> None:
        super().__init__(api, reason)
        self.args = (api, reason, status_code, retry_after)

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return int(self.args[2])

    @property
    def retry_after(self) -> float | None:
        """Seconds that the API asks to stay away; ``None`` when it doesn't."""
        value: float | None = self.args[3]
        return value

    @property
    def is_own_mistake(self) -> bool:
        """Whether the request was at fault, not the API."""
        return self.status_code < _SERVER_ERRORS and self.status_code not in _BUSY

    def __str__(self) -> str:
        return f"{self.api}: status {self.status_code}: {self.reason}"
