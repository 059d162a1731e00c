"""What clients asked and were told, object by object; and the verdict on it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.expiry import CLOCKS_AGREE, Expiry
from tests.chaos.linearizability import UNKNOWN, Answer, Operation, Verdict, check
from tests.chaos.specification import ABORTED, EMPTY, Action, append_only, is_passive, is_read, step

# Error replies after which the request was never carried out, and never will be.
REFUSALS = ("not leader", "BUSY ", "NOQUORUM ", "SHUTDOWN ", "MOVED ", "LOADING ", "MISCONF ")
IN_EXEC = "EXECABORT Transaction discarded because of: "  # of a whole transaction: what follows is one of these
UNCERTAIN = "UNCERTAIN "


@dataclass(slots=True)
class KeyGroup:
    """Keys that are judged together: what one operation may touch."""

    kind: str
    keys: tuple[bytes, ...]
    born: float
    operations: list[Operation] = field(default_factory=list)
    asked: int = 0
    last_reads_from: int = -1  # position of the first read of the end, when all is over; -1: none yet


@dataclass(slots=True)
class Asked:
    """An operation that was sent and has no outcome yet."""

    group: KeyGroup
    action: Action
    invoked: float
    who: str


class History:
    """Records operations as they end. For one thread.

    `promptly`: a read that took longer (seconds) is held against nobody. Leases promise nothing of a read whose
    process stood still between check and answer; one that was answered within the lease's margin did not.
    """

    def __init__(self, promptly: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self.promptly = promptly
        self.groups: list[KeyGroup] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()  # (kind of operation, outcome)
        self.unexpected: list[str] = []  # replies that no client should get
        self.acknowledged: list[tuple[float, float]] = []  # (invoked, completed) of writes

    def last_write(self) -> float:
        """When the newest write was acknowledged; for any thread. The beginning of time if none was."""
        return self.acknowledged[-1][1] if self.acknowledged else -math.inf

    def new_group(self, kind: str, keys: Iterable[bytes]) -> KeyGroup:
        group = KeyGroup(kind, tuple(keys), self.now())
        self.groups.append(group)
        return group

    def ask(self, group: KeyGroup, action: Action, who: str) -> Asked:
        """To be called before anything of it is sent."""
        group.asked += 1
        return Asked(group, action, self.now(), who)

    def answered(self, asked: Asked, replies: Sequence[Any], after: int = -1, *, always: bool = False) -> int:
        """It took effect and was answered so. Gives its position in the group's history (`after` if it is not held
        against anybody; `always`: it is, being one of the reads of the end)."""
        completed = self.now()
        if completed - asked.invoked > self.promptly and is_read(asked.action) and not always:
            self._count(asked, "beyond the lease")
            return after
        self._count(asked, "ok")
        operations = asked.group.operations
        if always and asked.group.last_reads_from < 0:
            asked.group.last_reads_from = len(operations)
        result = tuple(replies)
        operations.append(Operation(asked.invoked, completed, asked.action, result, after, asked.who))
        if not is_read(asked.action):
            self.acknowledged.append((asked.invoked, completed))
        return len(operations) - 1

    def aborted(self, asked: Asked) -> None:
        """A transaction whose watched keys were touched: it has no effect."""
        self._count(asked, ABORTED)

    def failed(self, asked: Asked, error: str) -> None:
        """An error reply instead."""
        error = error.removeprefix(IN_EXEC)
        if error.startswith(REFUSALS):
            self._count(asked, "refused: " + error.split(" ")[0] if error != "not leader" else "refused: not leader")
        elif error.startswith(UNCERTAIN):
            self.lost(asked, "unknown: UNCERTAIN")
        else:
            self.unexpected.append(f"{asked.action!r} was answered by the error {error!r}")
            self.lost(asked, "unknown: unexpected error")

    def lost(self, asked: Asked, outcome: str) -> None:
        """No answer that says what became of it."""
        self._count(asked, outcome)
        if not is_read(asked.action):
            asked.group.operations.append(Operation(asked.invoked, UNKNOWN, asked.action, who=asked.who))

    def _count(self, asked: Asked, outcome: str) -> None:
        self.outcomes[(f"{asked.group.kind} {'read' if is_read(asked.action) else 'write'}", outcome)] += 1


def judge(group: KeyGroup, budget: int, expiry: Expiry = CLOCKS_AGREE) -> Verdict:
    """Whether one group's operations are linearizable."""
    feasible = None
    if group.kind == "expiring":
        operations = group.operations
        if not expiry.are_alike and group.last_reads_from >= 0:
            operations = operations[: group.last_reads_from]  # nodes restarted since, and may have forgotten the clock
        return check(expiry.explained(operations), EMPTY, step, passive=is_passive, budget=budget)
    if group.kind == "list":
        seen = [
            (command[0], reply)
            for operation in group.operations
            if operation.is_known
            for command, reply in zip(operation.action[1], operation.result, strict=True)  # type: ignore[index]
        ]
        values: list[bytes | None] = [reply for name, reply in seen if name == b"GET"]
        values += [value for name, reply in seen if name == b"MGET" for value in reply]
        feasible = append_only(values, [reply for name, reply in seen if name in (b"APPEND", b"STRLEN")])
    return check(group.operations, EMPTY, step, feasible=feasible, passive=is_passive, budget=budget)


@dataclass(slots=True)
class Judgement:
    groups: int = 0
    operations: int = 0
    violations: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    hardest: int = 0  # configurations looked at for one group, at most


def judge_all(history: History, budget: int, expiry: Expiry = CLOCKS_AGREE) -> Judgement:
    """Every group, apart."""
    judgement = Judgement()
    for group in history.groups:
        verdict = judge(group, budget, expiry)
        judgement.groups += 1
        judgement.operations += len(group.operations)
        judgement.hardest = max(judgement.hardest, verdict.visited)
        if verdict.answer is Answer.VIOLATION:
            judgement.violations.append(f"{group.kind} {group.keys!r}: {verdict.explanation}")
        elif verdict.answer is Answer.UNDECIDED:
            judgement.undecided.append(f"{group.kind} {group.keys!r}: {verdict.explanation}")
    return judgement
