"""client-output-buffer-limit, as redis.conf has it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leto.config.kinds import parse_count, parse_size


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """How many bytes of replies a client may leave unread: above `hard` it is closed at once, above `soft` once that
    has lasted `seconds`. 0: no such limit. Redis's client-output-buffer-limit, of one class of clients."""

    hard: int = 0
    soft: int = 0
    seconds: int = 0

    def __str__(self) -> str:
        return f"{self.hard} {self.soft} {self.seconds}"


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """By Redis's classes of clients, with Redis's defaults. Here all clients are `normal`."""

    normal: OutputLimit = OutputLimit()
    slave: OutputLimit = OutputLimit(256 << 20, 64 << 20, 60)
    pubsub: OutputLimit = OutputLimit(32 << 20, 8 << 20, 60)

    def __str__(self) -> str:
        return f"normal {self.normal} slave {self.slave} pubsub {self.pubsub}"


def parse_output_limits(text: str, others: OutputLimits | None = None) -> OutputLimits:
    """`normal 0 64mb 10`, and more such classes (slave or replica, pubsub); those not named stay as in `others`, or are
    Redis's defaults. Raises ValueError in Redis's words.

    A size alone is what earlier versions took: more than so much unread for ten seconds.
    """
    words = text.lower().split()
    others = others or OutputLimits()
    if len(words) == 1:
        return replace(others, normal=OutputLimit(0, parse_size(words[0]), 10))
    if len(words) % 4:
        raise ValueError("Wrong number of arguments in buffer limit configuration.")
    for name, *limits in zip(*(words[start::4] for start in range(4)), strict=True):
        kind = "slave" if name == "replica" else name
        if kind not in ("normal", "slave", "pubsub"):
            raise ValueError("Invalid client class specified in buffer limit configuration.")
        try:
            limit = OutputLimit(parse_size(limits[0]), parse_size(limits[1]), parse_count(limits[2]))
        except ValueError:
            raise ValueError("Error in hard, soft or soft_seconds setting in buffer limit configuration.") from None
        others = replace(others, **{kind: limit})
    return others


def show_output_limits(limits: OutputLimits) -> str:
    """What parse_output_limits() reads as these: the class of all clients here, and the others where they differ."""
    others = replace(limits, normal=OutputLimit())
    return f"normal {limits.normal}" if others == OutputLimits() else str(limits)
