"""Compiling a function's signature into how its arguments become a key."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from resilience._types import MISSING, type_name

_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What the core needs to know of a signature; see cpp/bindings/call_key.hpp.

    Attributes:
        function: its qualified name, for messages.
        scope: what tells its keys from other functions' in a shared cache.
        names: every named parameter, the positional ones first.
        kept: for each item of a key, whether it is part of it; ``None`` where all are.
        simple: the core can bind by itself: no ``*args``, ``**kwargs`` or positional-only parameters.
    """

    function: str
    scope: str
    signature: inspect.Signature
    names: tuple[str, ...]
    defaults: tuple[Any, ...]
    ignored: frozenset[str]
    positional: int
    simple: bool

    @property
    def kept(self) -> tuple[bool, ...] | None:
        """Which parameters are part of the key."""
        return tuple(name not in self.ignored for name in self.names) if self.ignored else None

    def native(self) -> tuple[Any, ...]:
        """Return the plan as the core takes it."""
        return (
            self.scope,
            self.names,
            self.defaults,
            MISSING,
            self.kept,
            self.bind_items,
            self.refuse,
            self.positional,
            self.simple,
        )

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return every argument by its parameter's name, defaults filled in.

        Raises:
            TypeError: as calling the function would.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def bind_items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return the items of a key for a signature, or a call, that the core leaves to this."""
        items: list[Any] = []
        for name, value in self.bind(args, kwargs).items():
            if name not in self.ignored:
                kind = self.signature.parameters[name].kind
                items.append(
                    _sorted_items(value, self.ignored) if kind is inspect.Parameter.VAR_KEYWORD else value
                )
        return tuple(items)

    def refuse(self, index: int, error: BaseException) -> NoReturn:
        """Raise `error` again, naming the argument of a key's item.

        Raises:
            TypeError: always, for an error that is one.
        """
        if not isinstance(error, TypeError):
            raise error
        kept = [name for name in self.signature.parameters if name not in self.ignored]
        name = kept[index] if index < len(kept) else f"number {index}"
        raise TypeError(
            f"argument {name!r} of {self.function}() can't be part of a key: {error}; "
            "give key=, or leave it out by ignore="
        ) from None


def compile_signature(function: Callable[..., Any], ignore: Iterable[str]) -> KeyPlan:
    """Compile the signature of `function`; `ignore` names parameters that are no part of the key.

    Raises:
        TypeError: when `ignore` holds something else than names of parameters.
    """
    if isinstance(ignore, str):
        raise TypeError(f"ignore must be an iterable of parameter names, got the string {ignore!r}")
    ignored = frozenset(ignore)
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    strange = [name for name in ignored if name not in signature.parameters]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    if strange and not takes_any:
        raise TypeError(f"ignore names {strange[0]!r}, which is no parameter of {_name(function)}()")
    named = [parameter for parameter in parameters if parameter.kind in _NAMED]
    return KeyPlan(
        function=_name(function),
        scope=f"{getattr(function, '__module__', '')}.{_name(function)}",
        signature=signature,
        names=tuple(parameter.name for parameter in named),
        defaults=tuple(
            MISSING if parameter.default is parameter.empty else parameter.default for parameter in named
        ),
        ignored=ignored,
        positional=sum(parameter.kind is not inspect.Parameter.KEYWORD_ONLY for parameter in named),
        simple=all(parameter.kind in _NAMED[1:] for parameter in parameters),
    )


def tags_of(
    tags: Any, plan: KeyPlan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Hashable, ...]:
    """Return the tags of one call.

    `tags` is an iterable of tags, or a function of the call's arguments that returns one. A string tag may name
    parameters in braces, as ``"user:{user_id}"``.
    """
    if callable(tags):
        return tuple(tags(*args, **kwargs))
    if not any(isinstance(tag, str) and "{" in tag for tag in tags):
        return tuple(tags)
    arguments = plan.bind(args, kwargs)
    return tuple(tag.format_map(arguments) if isinstance(tag, str) else tag for tag in tags)


def _sorted_items(keywords: Mapping[str, Any], ignored: frozenset[str]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, value) for name, value in keywords.items() if name not in ignored))


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type_name(function))
