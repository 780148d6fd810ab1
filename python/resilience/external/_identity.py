"""How requests of an API introduce themselves, and what must not be seen of that."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from resilience._types import type_name
from resilience.external._spec import ApiSpec

_LONGEST_TEXT = 200


class Identity:
    """Headers and query parameters of every request, with the secrets that they hold.

    Args:
        spec: of the API.
        environment: where credentials are read, once; ``os.environ`` when ``None``.
        user_agent: how requests introduce themselves; the library's name when ``None``.

    Raises:
        MissingCredentialError: when the environment lacks what the API needs.
        TypeError: for a `user_agent` that is no text.
        ValueError: for one that can't be sent.
    """

    def __init__(self, spec: ApiSpec, environment: Mapping[str, str] | None, user_agent: str | None) -> None:
        self.open_headers = {"User-Agent": _checked(user_agent), "Accept": "*/*"}
        self.headers = dict(self.open_headers)
        self._query: dict[str, str] = {}
        self._secrets: list[str] = []
        for credential, value in spec.credential_values(environment).items():
            sent = f"{credential.prefix}{value}"
            if credential.query is not None:
                self._query[credential.query] = sent
            elif credential.header is not None:
                self.headers[credential.header] = sent
                if not credential.secret:
                    self.open_headers[credential.header] = sent
            if credential.secret:
                self._secrets += {value, quote(value, safe="")}

    def target(self, target: str) -> str:
        """Return a path with its query and what every query brings."""
        if not self._query:
            return target
        return f"{target}{'&' if '?' in target else '?'}{urlencode(self._query, quote_via=quote)}"

    def clean(self, text: str) -> str:
        """Shorten a text of the API's, without secrets that it repeats and what isn't printable."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = " ".join(text.split())[:_LONGEST_TEXT]
        return "".join(letter if letter.isprintable() else "?" for letter in text)


def _checked(user_agent: str | None) -> str:
    from resilience import __version__

    if user_agent is None:
        return f"resilience-native/{__version__}"
    if not isinstance(user_agent, str):
        raise TypeError(f"user_agent must be a string or None, got {type_name(user_agent)}")
    if not (user_agent and user_agent.isascii() and user_agent.isprintable()):
        raise ValueError(f"user_agent must be printable ASCII characters, got {user_agent!r:.80}")
    return user_agent
