"""Catalogues of external APIs: YAML, TOML or a mapping into specifications, checked whole, with line numbers.

A catalogue has `families`, which hold settings for several APIs, and `apis`; docs/how-to/external-apis.md explains
each key. Files are read as configurations are: bounded in size and depth, without aliases and tags.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._config.kinds import Duration, Flag, Kind, Number, Text, Whole
from resilience._config.nodes import Node
from resilience._config.plan import load
from resilience._config.schema import Parameter, Schema, did_you_mean
from resilience._config.sections.circuit_breakers import SECTION as BREAKERS
from resilience.errors import ConfigError
from resilience.external._parsers import PARSERS, Parser
from resilience.external._spec import ApiSpec, Credential, Operation, Probe, Rate
from resilience.external._template import Template

_YEAR = 31_536_000.0
_DURATION = Duration(0.0, _YEAR)
_PROBE_TIME = Duration(0.001, 3600.0)


def _schema(**kinds: Kind) -> Schema:
    return Schema(tuple(Parameter(name, kind, "") for name, kind in kinds.items()))


_RATE = _schema(
    rate=Number(0, 1e6, above=True),
    per=Duration(0.0, _YEAR, above=True),
    burst=Number(1, 1e6),
    max_wait=_DURATION,
    published=Flag(),
)
_CREDENTIAL = _schema(
    variable=Text(200), header=Text(200), query=Text(200), prefix=Text(200), required=Flag(), secret=Flag()
)
_PROBE = _schema(path=Text(), interval=_PROBE_TIME, timeout=_PROBE_TIME, successes=Whole(1, 1000))
_CACHE = _schema(ttl=_DURATION, keep=_DURATION)
_SIMPLE = {
    "documentation": Text(),
    "timeout": Duration(0.0, _YEAR, above=True),
    "concurrency": Whole(1, 1_000),
    "max_body_bytes": Whole(1, 256 * 1024 * 1024),
}
_TABLES: dict[str, tuple[Callable[..., Any], Schema]] = {
    "rate_limit": (Rate, _RATE),
    "quota": (Rate, _RATE),
    "breaker": (CircuitBreakerConfig, BREAKERS.schema),
    "probe": (Probe, _PROBE),
}
_SETTINGS = (*_SIMPLE, *_TABLES, "cache")
_API = (*_SETTINGS, "family", "base_url", "credentials", "operations")


class Catalogue(Mapping[str, ApiSpec]):
    """External APIs by name; it can't be changed."""

    def __init__(self, apis: Mapping[str, ApiSpec]) -> None:
        self._apis = dict(apis)

    def __getitem__(self, name: str) -> ApiSpec:
        return self._apis[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._apis)

    def __len__(self) -> int:
        return len(self._apis)

    def __repr__(self) -> str:
        return f"<Catalogue of {', '.join(self._apis)}>"


def load_catalog(
    path: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    parsers: Mapping[str, Parser] | None = None,
) -> Catalogue:
    """Read a catalogue of external APIs.

    Args:
        path: a ``.yaml``, ``.yml`` or ``.toml`` file of at most 256 KiB, or a mapping of the same shape; the
            catalogue that comes with the package when ``None``.
        parsers: of one's own, by the names that the catalogue uses for them: functions of a body's bytes.

    Raises:
        ConfigError: for a syntax error, an unknown key, a value of the wrong type or out of range, or an unknown
            parser; it names the key and the line.
        OSError: when the file cannot be read.
        ImportError: for YAML without PyYAML.
    """
    source: Any = Path(__file__).with_name("catalogue.yaml") if path is None else path
    return _Reader({**PARSERS, **(parsers or {})}).catalogue(load(source))


@lru_cache(maxsize=1)
def packaged_catalogue() -> Catalogue:
    """Return the catalogue that comes with the package, read once."""
    return load_catalog()


class _Reader:
    def __init__(self, parsers: Mapping[str, Parser]) -> None:
        self._parsers = parsers

    def catalogue(self, root: Node) -> Catalogue:
        top = _table(root, ("families", "apis"))
        families = {
            name: _table(node, _SETTINGS)
            for name, node in (top["families"].table() if "families" in top else {}).items()
        }
        if "apis" not in top:
            raise root.error("must have a table 'apis'")
        return Catalogue(
            {name: self._api(name, node, families) for name, node in top["apis"].table().items()}
        )

    def _api(self, name: str, node: Node, families: Mapping[str, dict[str, Node]]) -> ApiSpec:
        own = _table(node, _API)
        family = _text(own["family"]) if "family" in own else ""
        if family and family not in families:
            raise own["family"].error(f"unknown family{did_you_mean(family, families)}")
        entry = {**families.get(family, {}), **own}
        for needed in ("base_url", "operations"):
            if needed not in entry:
                raise node.error(f"must have {needed}")
        times = _values(_CACHE, entry["cache"]) if "cache" in entry else {}
        operations = {key: self._operation(each, times) for key, each in entry["operations"].table().items()}
        spec: ApiSpec = _or_error(
            node,
            lambda: ApiSpec(
                name=name,
                family=family,
                base_url=_text(entry["base_url"]).rstrip("/"),
                operations=operations,
                **_settings(entry),
            ),
        )
        return spec

    def _operation(self, node: Node, times: Mapping[str, Any]) -> Operation:
        own = _table(node, ("path", "query", "bounds", "parser", "cache"))
        for needed in ("path", "parser"):
            if needed not in own:
                raise node.error(f"must have {needed}")
        parser = _text(own["parser"])
        if parser not in self._parsers:
            raise own["parser"].error(f"unknown parser{did_you_mean(parser, self._parsers)}")
        query = {key: _text(each) for key, each in own["query"].table().items()} if "query" in own else {}
        bounds: dict[str, Any] = {
            key: Whole(0, 2**53).read(each)
            for key, each in (own["bounds"].table() if "bounds" in own else {}).items()
        }
        if "cache" in own:
            times = {**times, **_values(_CACHE, own["cache"])}
        template = _or_error(node, lambda: Template(_text(own["path"]), query, bounds))
        return Operation(template=template, parser=self._parsers[parser], **times)


def _settings(entry: Mapping[str, Node]) -> dict[str, Any]:
    """What an entry says, but for where the API is and what it can do."""
    settings: dict[str, Any] = {key: kind.read(entry[key]) for key, kind in _SIMPLE.items() if key in entry}
    for key, (kind, schema) in _TABLES.items():
        if key in entry:
            settings[key] = _made(kind, schema, entry[key])
    if "credentials" in entry:
        settings["credentials"] = tuple(
            _made(Credential, _CREDENTIAL, each) for each in _list(entry["credentials"])
        )
    return settings


def _table(node: Node, known: tuple[str, ...]) -> dict[str, Node]:
    entries = node.table()
    for key, entry in entries.items():
        if key not in known:
            raise entry.error(f"unknown setting{did_you_mean(key, known)}")
    return entries


def _list(node: Node) -> list[Node]:
    if not isinstance(node.value, list):
        raise node.error("must be a list")
    return node.value


def _text(node: Node) -> str:
    return str(Text().read(node))


def _values(schema: Schema, node: Node) -> dict[str, Any]:
    return {key: setting.value for key, setting in schema.read(node).items()}


def _made(kind: Callable[..., Any], schema: Schema, node: Node) -> Any:
    return _or_error(node, lambda: kind(**_values(schema, node)))


def _or_error(node: Node, make: Callable[[], Any]) -> Any:
    """Make something; what it refuses is an error of the place in the catalogue."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise node.error(str(error)) from None
