"""What a setting is, and the kinds of settings there are: how each is written, read, shown and bounded.

A setting is a field of leto.config.Config, made by one of the functions below. All that is told of it stands there:
the command line, LETO_* variables, the TOML file, `--help`, the checks at start and CONFIG are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_SIZE_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
UNBOUNDED = (1 << 63) - 1  # as large as Redis's integers are


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, but for its field and its default, which the dataclass Config knows."""

    help: str
    metavar: str
    parse: Callable[[str], Any]  # raises ValueError with a sentence
    show: Callable[[Any], str] = str
    name: str = ""  # as on the command line, where it is not the field's with dashes
    redis: str = ""  # Redis's name for it, where it has another one
    kind: str = ""  # "count", "number", "size" or "switch": what CONFIG SET can read
    settable: bool = False  # by CONFIG SET, while the node runs
    least: float = 0
    most: float = UNBOUNDED


def setting(default: Any, help: str, metavar: str, parse: Callable[[str], Any], **facts: Any) -> Any:
    """A field of Config with that default (... : it must be given)."""
    metadata = {"setting": Setting(help, metavar, parse, **facts)}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def text(default: str | None, help: str, metavar: str, **facts: Any) -> Any:
    return setting(default, help, metavar, parse_text, **facts)


def milliseconds(default: float, help: str, **facts: Any) -> Any:
    """Seconds, written as whole milliseconds, one or more."""
    show = lambda seconds: str(round(seconds * 1000))  # noqa: E731
    return setting(default, help, "MS", _parse_milliseconds, show=show, least=0.001, **facts)


def size(default: int, help: str, **facts: Any) -> Any:
    """Bytes."""
    return setting(default, help, "SIZE", parse_size, show=format_size, kind="size", **facts)


def count(default: int, help: str, **facts: Any) -> Any:
    return setting(default, help, "N", parse_count, kind="count", **facts)


def number(default: int, help: str, **facts: Any) -> Any:
    """A count that may be negative, which says something of its own."""
    return setting(default, help, "N", _parse_number, kind="number", **facts)


def one_of(default: str, words: Sequence[str], help: str, **facts: Any) -> Any:
    return setting(default, help, "|".join(words), _choice(*words), **facts)


def switch(default: bool, help: str, **facts: Any) -> Any:
    show = lambda value: "yes" if value else "no"  # noqa: E731
    return setting(default, help, "yes|no", _parse_switch, show=show, kind="switch", **facts)


# How they are read and shown -------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Bytes, as redis.conf writes them: 1000, 1k (1000), 1kb (1024), 5mb, 2GB. Raises ValueError."""
    digits = text.rstrip("bkmgBKMG")
    unit = text[len(digits) :].lower()
    if not (digits.isascii() and digits.isdigit()) or unit not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size: write bytes, or a number with kb, mb or gb")
    return int(digits) * _SIZE_UNITS[unit]


def format_size(size: int) -> str:
    """The shortest exact spelling that parse_size reads back."""
    for unit in ("gb", "mb", "kb"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return str(size)


def parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _parse_number(text: str) -> int:
    return -parse_count(text[1:]) if text.startswith("-") else parse_count(text)


def _parse_milliseconds(text: str) -> float:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number of milliseconds")
    return int(text) / 1000


def _parse_switch(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() == "yes"


def parse_text(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return parse
