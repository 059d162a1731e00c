"""What a replica is given from outside, and is not to make itself: a reactor, clocks, chance, a disk, ways out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from leto.interfaces.store import Flusher, Store
from leto.reactor.stalls import StallMeter


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The reactor and what goes with it. `wall_clock` gives seconds since the epoch, `random` numbers in [0, 1).

    `soon` calls what it is given once all that has come by now is handed in (None: by a delayed call).
    """

    reactor: Any
    random: Callable[[], float]
    wall_clock: Callable[[], float] = time.time
    soon: Callable[[Callable[[], None]], object] | None = None
    meter: StallMeter = field(default_factory=StallMeter)


@dataclass(frozen=True, slots=True)
class Disk:
    """An open store that has an identity, and the flushers that its log and its snapshots are written by."""

    store: Store
    log_flusher: Flusher
    snapshot_flusher: Flusher


@dataclass(frozen=True, slots=True)
class Endings:
    """Whom it tells that it is over.

    `fatal(message)`: it failed, and does nothing more. `removed(reason)`: it is no member any more. `shut_out()`: the
    cluster has taken this node, which holds no log yet, but its leader means another data directory by its id.
    """

    fatal: Callable[[str], None]
    removed: Callable[[str], None]
    shut_out: Callable[[], None] = lambda: None
