"""The table's `syntax` strings, parsed into the argument structure of COMMAND DOCS.

A syntax is written as redis.io writes it: UPPER words are tokens, others are values, [..] is optional, <..> a
choice that must be made, | separates alternatives, "key [key ...]" repeats.
See https://redis.io/commands/command-docs/ for the structure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

_WORD = re.compile(r"\[|\]|<|>|\||\.\.\.|[^\s\[\]<>|]+")
_KEYS = frozenset(("key", "newkey", "source", "destination", "destkey", "key1", "key2"))
_INTEGERS = """bit client-id count cursor decrement destination-db end increment index len maxage milliseconds
    num-matches numkeys numreplicas offset protover rank seconds start stop timeout version"""
_TYPES = dict.fromkeys(_INTEGERS.split(), "integer") | {
    "pattern": "pattern",
    "unix-time-seconds": "unix-time",
    "unix-time-milliseconds": "unix-time",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command. `kind`: string, integer, key, pattern, unix-time, pure-token, oneof or block."""

    name: str
    kind: str
    token: str = ""
    optional: bool = False
    multiple: bool = False
    multiple_token: bool = False
    arguments: tuple[Argument, ...] = ()


@dataclass
class _Group:
    optional: bool
    alternatives: list[list[str | _Group]] = field(default_factory=lambda: [[]])
    repeats: bool = False


@lru_cache(maxsize=512)
def parse(syntax: str) -> tuple[Argument, ...]:
    """Raises ValueError for brackets that do not match."""
    whole = _Group(False)
    stack = [whole]
    for word in _WORD.findall(syntax):
        group = stack[-1]
        if word in "[<":
            inner = _Group(word == "[")
            group.alternatives[-1].append(inner)
            stack.append(inner)
        elif word in "]>":
            if len(stack) == 1 or group.optional != (word == "]"):
                raise ValueError(f"brackets do not match in {syntax!r}")
            stack.pop()
        elif word == "|":
            group.alternatives.append([])
        elif word == "...":
            group.repeats = True
        else:
            group.alternatives[-1].append(word)
    if len(stack) != 1 or len(whole.alternatives) != 1:
        raise ValueError(f"brackets do not match in {syntax!r}")
    return _sequence(whole.alternatives[0])


def _sequence(parts: Sequence[str | _Group]) -> tuple[Argument, ...]:
    arguments: list[Argument] = []
    at = 0
    while at < len(parts):
        part = parts[at]
        at += 1
        if isinstance(part, _Group):
            _add_group(arguments, part)
        elif part.isupper():
            values: list[Argument] = []
            while at < len(parts) and isinstance(word := parts[at], str) and not word.isupper():
                values.append(_value(word))
                at += 1
            following = parts[at] if at < len(parts) else None
            if isinstance(following, _Group) and _belongs(following, values):
                _add_group(values, following)
                at += 1
            arguments.append(_with_token(part, values))
        else:
            arguments.append(_value(part))
    return tuple(arguments)


def _belongs(group: _Group, values: list[Argument]) -> bool:
    """Whether the brackets after a token and its `values` are the token's too: "TYPE <A | B>", "ID id [id ...]"."""
    if not values:
        return not group.optional
    return group.repeats and _sequence(group.alternatives[0]) == tuple(values)


def _with_token(token: str, values: list[Argument]) -> Argument:
    if not values:
        return Argument(token.lower(), "pure-token", token)
    if len(values) == 1 and not values[0].multiple:
        return replace(values[0], token=token)
    return Argument("_".join(value.name for value in values), "block", token, arguments=tuple(values))


def _value(name: str) -> Argument:
    return Argument(name, "key" if name in _KEYS else _TYPES.get(name, "string"))


def _add_group(arguments: list[Argument], group: _Group) -> None:
    """Add what the brackets hold; "key [key ...]" makes the key before it multiple instead."""
    choices = [_sequence(alternative) for alternative in group.alternatives]
    if len(choices) == 1:
        inner = choices[0]
        count = len(inner)
        if group.repeats and count and tuple(arguments[-count:]) == inner:
            del arguments[-count:]
            if count == 1:
                arguments.append(replace(inner[0], multiple=True, multiple_token=bool(inner[0].token)))
            else:
                arguments.append(Argument(_join(inner), "block", multiple=True, arguments=inner))
            return
        only = inner[0] if count == 1 else Argument(_join(inner), "block", arguments=inner)
        arguments.append(replace(only, optional=group.optional, multiple=group.repeats or only.multiple))
        return
    options = tuple(
        choice[0] if len(choice) == 1 else Argument(_join(choice), "block", arguments=choice) for choice in choices
    )
    arguments.append(Argument(_join(options), "oneof", optional=group.optional, arguments=options))


def _join(arguments: Sequence[Argument]) -> str:
    return "_".join(argument.name for argument in arguments)
