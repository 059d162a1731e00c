"""What both simulations share: the plan of a run, its trace, its outcome and its failure."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

SIZES = "3,5,4,7,3,2,6,1"  # members at the start of each run, in turn
STEPS = 3000


@dataclass(frozen=True, slots=True)
class Plan:
    """What identifies a run: the same plan gives the same run, event for event, while the code is the same.

    `steps`: how many events (a message that arrives, a timer that fires, a flush that ends...) happen before the
    faults end. `bug`: the name of a planted bug, "" for the real code. `core`: of the bare Raft core, not whole nodes.
    """

    seed: int
    nodes: int = 3
    steps: int = STEPS
    bug: str = ""
    core: bool = False

    def command(self) -> str:
        """Which replays the run."""
        core, bug = " --core" if self.core else "", f" --bug {self.bug}" if self.bug else ""
        return f"python -m tests.simulation{core} --seed {self.seed} --nodes {self.nodes} --steps {self.steps}{bug}"


class SimulationFailed(AssertionError):
    """A check failed in a run; shows the command that replays it and the run's last events."""

    def __init__(self, plan: Plan, error: BaseException, events: list[str]) -> None:
        sentence = str(error) or repr(error)
        last = "\n".join(f"    {event}" for event in events)
        super().__init__(f"{type(error).__name__}: {sentence}\n  replay: {plan.command()}\n  last events:\n{last}")
        self.plan = plan
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that passed did. `trace`: a hash of every event."""

    plan: Plan
    trace: str
    seconds: float  # of simulated time
    events: int
    terms: int
    committed: int
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Operations of clients that got their answer (whole nodes only)."""
        return self.counts.get("answered", 0)


class Trace:
    """What happened in a run: the last events as text, all of them as a hash, and how many of each kind."""

    def __init__(self, keep: int, show: Callable[[str], None] | None) -> None:
        self.last: deque[str] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()
        self.show = show
        self._hash = hashlib.blake2b(digest_size=16)

    def record(self, time: float, kind: str, text: str) -> None:
        """An event for the reader."""
        event = f"{time:10.6f} {kind:<6} {text}"
        self._hash.update(event.encode())
        self.counts[kind] += 1
        self.last.append(event)
        if self.show is not None:
            self.show(event)

    def hash(self, data: bytes) -> None:
        """Something that the trace must hold, but that is too much to be read."""
        self._hash.update(data)

    def digest(self) -> str:
        return self._hash.hexdigest()
