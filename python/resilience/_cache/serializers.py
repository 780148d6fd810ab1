"""Values and keys as bytes: MessagePack or JSON, never pickle.

A payload opens with a header that names format and version, so that other bytes are told apart from ours.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from resilience._types import type_name

SerializerName = Literal["msgpack", "json"]
_READABLE = 200  # characters of a string key that is kept as it is
_TUPLE = 1  # MessagePack extension: a tuple is not a list


class UndecodableError(ValueError):
    """Bytes that no serializer of ours has written."""


@dataclass(frozen=True, slots=True)
class Serializer:
    """Turns values into bytes and back."""

    header: bytes
    dump: Callable[[Any], bytes]
    parse: Callable[[bytes], Any]

    def dumps(self, value: Any) -> bytes:
        """Encode a value.

        Raises:
            TypeError: for a value that the format can't hold.
        """
        try:
            return self.header + self.dump(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"a value of type {type_name(value)} can't be encoded: {error}") from error

    def loads(self, payload: Any) -> Any:
        """Decode a payload.

        Raises:
            UndecodableError: for anything that dumps() has not written.
        """
        if not isinstance(payload, bytes) or not payload.startswith(self.header):
            raise UndecodableError("not a payload of this cache")
        try:
            return self.parse(payload[len(self.header) :])
        except Exception as error:
            raise UndecodableError(f"a payload that doesn't decode: {error}") from error


def make_serializer(name: str) -> Serializer:
    """Return the serializer of that name.

    Raises:
        ValueError: for another name than ``"msgpack"`` and ``"json"``.
        ImportError: when the extra ``redis`` is not installed.
    """
    if name == "json":
        return Serializer(b"RC1j", _json_dump, json.loads)
    if name == "msgpack":
        return _make_msgpack(import_msgpack())
    raise ValueError(f'serializer must be "msgpack" or "json", got {name!r}')


def _make_msgpack(msgpack: Any) -> Serializer:
    def dump(value: Any) -> bytes:
        return bytes(msgpack.packb(value, use_bin_type=True, strict_types=True, default=extend))

    def extend(value: Any) -> Any:
        if type(value) is tuple:
            return msgpack.ExtType(_TUPLE, dump(list(value)))
        raise TypeError(f"MessagePack can't encode {type_name(value)}")

    def revive(code: int, data: bytes) -> Any:
        if code != _TUPLE:
            raise UndecodableError(f"unknown extension {code}")
        return tuple(parse(data))

    def parse(data: bytes) -> Any:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=revive)

    return Serializer(b"RC1m", dump, parse)


def encode_key(serializer: Serializer, key: Any) -> str:
    """Return the text under which a key is known to all processes; short strings stay readable.

    Raises:
        TypeError: for a key that can't be encoded.
    """
    if type(key) is str and len(key) <= _READABLE and key.isprintable():
        return f"s:{key}"
    return "h:" + hashlib.blake2b(serializer.dumps(key), digest_size=20).hexdigest()


def _json_dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def import_msgpack() -> Any:
    """Return the msgpack package."""
    try:
        import msgpack  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError("MessagePack needs the extra: pip install 'resilience-native[redis]'") from error
    return msgpack
