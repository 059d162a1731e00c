"""Named steps at which a test may kill the process, or do something else: see POINTS.

    LETO_FAULTPOINT=rotate.renamed python ...      dies (exit status 137) at the first time that step is reached
    LETO_FAULTPOINT=append.written:5 python ...    at the fifth time

Switched off, `reach` costs one call that looks at an empty value; where even that counts, ARMED is looked at first.
"""

from __future__ import annotations

import os
from collections.abc import Callable

VARIABLE = "LETO_FAULTPOINT"
EXIT_STATUS = 137  # as a shell reports SIGKILL

POINTS = (
    "identify.files-created",
    "identify.done",
    "append.start",
    "append.written",
    "append.synced",
    "truncate.start",
    "truncate.written",
    "truncate.synced",
    "rotate.start",
    "rotate.old-synced",
    "rotate.new-written",
    "rotate.new-synced",
    "rotate.renamed",
    "rotate.done",
    "hard-state.first-written",
    "hard-state.first-synced",
    "hard-state.second-written",
    "hard-state.second-synced",
    "watermark.written",
    "watermark.synced",
    "snapshot.created",
    "snapshot.written",
    "snapshot.partly-synced",
    "snapshot.completed",
    "snapshot.synced",
    "snapshot.verified",
    "snapshot.renamed",
    "snapshot.done",
    "snapshot.old-removed",
    "compact.start",
    "compact.unlinked",
    "compact.done",
    "install.start",
    "install.renamed",
    "install.done",
    "reset.start",
    "reset.segment-created",
    "reset.old-unlinked",
    "reset.done",
)

ARMED: dict[str, tuple[int, Callable[[], None]]] = {}  # how often it must still be reached, and then what


def reach(name: str) -> None:
    """The step `name` is done: act if it was armed."""
    if ARMED and name in ARMED:
        _hit(name)


def _hit(name: str) -> None:
    left, action = ARMED[name]
    if left > 1:
        ARMED[name] = (left - 1, action)
        return
    del ARMED[name]
    action()


def arm(name: str, count: int = 1, action: Callable[[], None] | None = None) -> None:
    """Run `action` (default: end the process at once) when `name` is reached for the `count`th time.

    Raises ValueError for a name that no code reaches, or a count below 1.
    """
    if name not in POINTS:
        raise ValueError(f"{name!r} is no fault point; they are: {', '.join(POINTS)}")
    if count < 1:
        raise ValueError(f"a fault point's count is at least 1, not {count}")
    ARMED[name] = (count, action if action is not None else _die)


def remaining(name: str) -> int:
    """How many more times an armed point must be reached; 0 if it is not armed."""
    return ARMED[name][0] if name in ARMED else 0


def disarm() -> None:
    ARMED.clear()


def arm_from(setting: str) -> None:
    """Arm from `name[:count]`, as the environment variable gives it. Raises ValueError."""
    name, _, count = setting.partition(":")
    if count and not (count.isascii() and count.isdigit()):
        raise ValueError(f"{VARIABLE}={setting}: the count must be a number")
    arm(name, int(count) if count else 1)


def _die() -> None:
    os._exit(EXIT_STATUS)


if VARIABLE in os.environ:
    arm_from(os.environ[VARIABLE])
