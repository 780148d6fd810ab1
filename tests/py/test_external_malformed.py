"""Malformed bodies, generated from good ones: each gives a clear error or a result of the promised types."""

import dataclasses
import json
import random
import types
import typing
from xml.etree import ElementTree as ET

import pytest

from resilience import rate_limit
from resilience.external import (
    ApiStatusError,
    ExternalApi,
    MalformedAnswerError,
    RefusedError,
    ShapeError,
    load_catalog,
)
from support.api_bodies import ANSWERS, ENVIRONMENT, as_bytes
from support.api_server import api_server

CATALOGUE = load_catalog()
LAUGHS = """<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><feed xmlns="http://www.w3.org/2005/Atom"><id>&c;</id></feed>"""
OUTSIDE = '<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/hostname">]><PubmedArticleSet>&x;</PubmedArticleSet>'
WHOLE = {
    "empty": b"",
    "nothing": b"null",
    "list": b"[]",
    "object": b"{}",
    "number": b"17",
    "text": b'"text"',
    "true": b"true",
    "space": b" \n\t",
    "page": b"<!DOCTYPE html><html><body>Just a moment...</body></html>",
    "no UTF-8": b'{"title": "\xff\xfe"}',
    "zeros": b"\0" * 100,
    "noise": random.Random(10).randbytes(500),
    "packed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "deep elements": b"<a>" * 20_000,
    "digits": b"1" * 10_000,
    "not a number": b"NaN",
    "infinity": b"[-Infinity]",
    "laughs": LAUGHS.encode(),
    "outside": OUTSIDE.encode(),
    "unknown encoding": b'<?xml version="1.0" encoding="klingon"?><feed/>',
    "other root": b"<rss><channel/></rss>",
}
INSTEAD = (
    None,
    True,
    "",
    "x",
    "\ud800",
    -1,
    10**400,
    1e300,
    [],
    {},
    [None],
    [[]],
    {"x": None},
    "0000-00-00",
    1e-300,
)


def json_places(value, path=()):
    """Every place in a document."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from json_places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from json_places(value[index], (*path, index))


def replaced(value, path, new):
    """A copy of a document with another value in one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def removed(value, path):
    """A copy of a document without one place."""
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = removed(copy[path[0]], path[1:])
    return copy


def broken_json(document):
    for path in json_places(document):
        for new in INSTEAD:
            yield f"{path} is {new!r:.20}", json.dumps(replaced(document, path, new)).encode()
        if path:
            yield f"{path} is gone", json.dumps(removed(document, path)).encode()


def broken_xml(text):
    count = len(list(ET.fromstring(text).iter()))  # noqa: S314 - our own
    for number in range(count):
        for new in ("gone", "empty", "x", "99999999999999999999", "renamed"):
            root = ET.fromstring(text)  # noqa: S314 - our own
            element = list(root.iter())[number]
            if new == "renamed":
                element.tag = "x"
            elif new != "gone":
                element.text = "" if new == "empty" else new
            else:
                for parent in root.iter():
                    if element in list(parent):
                        parent.remove(element)
            yield f"element {number} {element.tag} {new}", ET.tostring(root)


def broken(body):
    """What may become of an answer: kind and bytes."""
    good = as_bytes(body)
    yield from WHOLE.items()
    cuts = random.Random(7).sample(range(len(good)), 12)
    yield from ((f"cut at {cut}", good[:cut]) for cut in cuts)
    yield from ((f"byte {cut} is 0xfe", good[:cut] + b"\xfe" + good[cut + 1 :]) for cut in cuts)
    yield "in UTF-16", good.decode().encode("utf-16-be")
    yield "twice", good + good
    yield from broken_xml(body) if isinstance(body, str) else broken_json(body)


def is_of(value, wanted):
    """Whether a value is what an annotation says, all the way down."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, typing.TypeVar):
        return is_result(value)
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, each) for each in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(is_of(item, arguments[0]) for item in value)
    if dataclasses.is_dataclass(origin or wanted):
        return is_result(value)
    return isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool)


def is_result(value):
    if not dataclasses.is_dataclass(value):
        return isinstance(value, (str, int))
    hints = typing.get_type_hints(type(value))
    return all(is_of(getattr(value, field.name), hints[field.name]) for field in dataclasses.fields(value))


@pytest.mark.parametrize(
    ("api", "operation", "_arguments", "_kind", "body"), ANSWERS, ids=lambda each: str(each)[:20]
)
def test_whatever_a_body_holds_it_is_a_result_or_a_clear_error(api, operation, _arguments, _kind, body):
    parse = CATALOGUE[api].operations[operation].parser
    assert is_result(parse(as_bytes(body)))
    kinds = 0
    for kind, malformed in broken(body):
        kinds += 1
        try:
            result = parse(malformed)
        except (ShapeError, RefusedError) as error:
            assert str(error), kind
            assert len(str(error)) < 300, kind
        else:
            assert is_result(result), (kind, result)
    assert kinds > 60


def test_the_generated_kinds_are_many():
    kinds = {kind for *_, body in ANSWERS for kind, _ in broken(body)}
    assert len(kinds) >= 200


def sample_of(name):
    """Broken answers of an API, two hundred at most, always the same ones."""
    found = [
        (op, args, body)
        for api, op, args, _, example in ANSWERS
        if api == name
        for _, body in broken(example)
    ]
    return random.Random(3).sample(found, min(200, len(found)))


@pytest.mark.parametrize("name", ["arxiv", "pubmed", "crossref", "alpha-vantage", "reddit", "census"])
async def test_malformed_answers_are_the_apis_failures_and_refusals_the_callers(name):
    async with api_server() as server:
        settings = {"environment": ENVIRONMENT, "base_url": server.url, "rate_limit": rate_limit(1e9)}
        api = ExternalApi(name, probing=False, **settings)
        api.breaker.metrics_only()
        failures = 0
        for operation, arguments, body in sample_of(name):
            server.says(body)
            api._fresh.cache.clear()
            api._last.clear()
            try:
                await api.request(operation, **arguments)
            except MalformedAnswerError as error:
                failures += 1
                assert error.api == name
            except ApiStatusError as error:
                failures += not error.is_own_mistake
        assert failures > 20
        assert api.breaker.failure_count == failures
        await api.close()
