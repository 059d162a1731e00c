"""What a history with SET PX is held against: when a key may have expired, and when it must have.

The promise (docs/consistency.md): a key is expired when the cluster's clock has reached its time, and that clock goes
on at the rate of monotonic ones, or up to 1% slower, whatever wall clocks show; only forward may it be pulled by them.
So for a value that was written between two instants and was to live for L seconds, and wall clocks that are never
further apart than `spread`:

- it is there at least until L - spread after the first instant;
- it is gone at the latest 1% of L, and LATE, after the second (and under leases, whose reads know the clock of the last
  renewal, an election timeout later: `lag`);
- once gone it stays gone.

Expiry is thus one more operation, which begins and ends at those times, on the value that it belongs to: the checker
of linearizability needs to know nothing else. The last of the three is not promised over a restart of the processes
that knew the clock, if another's clock is behind it. Then all that remains is: not gone too early, and no value back
that was overwritten or deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.linearizability import UNKNOWN, Operation
from tests.chaos.specification import EXPIRE, FORGET, Action, single

SLOWEST = 1.011  # how much longer a time to live may take, by a cluster clock that is ahead of wall clocks
LATE = 1.2  # seconds that it may take longer still: what was told of the clock may have been on its way for so long
SLACK = 0.005  # seconds: clocks are read in milliseconds, and the harness reads its own a little before or after


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is known of the clocks during a run. `restarts`: when processes were started again."""

    spread: float = 0.0
    lag: float = 0.0
    are_alike: bool = True
    restarts: tuple[float, ...] = ()

    def explained(self, operations: Sequence[Operation]) -> list[Operation]:
        """The operations of one key, with what time does to it."""
        if not operations:
            return []
        first = min(operation.invoked for operation in operations)
        last = max(operation.invoked for operation in operations)
        if not self.are_alike and any(first <= restart <= last for restart in self.restarts):
            return self._weakened(operations)
        return [*operations, *filter(None, map(self._end_of, range(len(operations)), operations))]

    def _end_of(self, position: int, operation: Operation) -> Operation | None:
        """The end of the value that an operation wrote, if it did and the value ends."""
        (command,) = _commands(operation)
        life = _life(command)
        if life is None or (operation.is_known and operation.result != (b"OK",)):
            return None
        begin = max(operation.invoked, operation.invoked + life - self.spread - SLACK)
        end = operation.completed + life * SLOWEST + min(self.spread, LATE) + SLACK + self.lag
        return Operation(begin, end, single(EXPIRE, command[1], command[2]), (None,), position, "time")

    def _weakened(self, operations: Sequence[Operation]) -> list[Operation]:
        """Without what says that a value whose time may have come is gone, or that it is not."""
        earliest = min(
            (
                operation.invoked + life - self.spread - SLACK
                for operation in operations
                if (life := _life(_commands(operation)[0])) is not None
            ),
            default=UNKNOWN,
        )
        kept: list[Operation] = []
        moved: dict[int, int] = {-1: -1}
        for position, operation in enumerate(operations):
            (command,) = _commands(operation)
            action: Action | None = operation.action  # type: ignore[assignment]
            result = operation.result
            if operation.completed >= earliest:
                if command[0] == b"DEL":
                    action, result = single(FORGET, command[1]), (None,)
                elif command[0] == b"SET" and b"NX" in command:
                    refused = operation.is_known and result == (None,)
                    action = None if refused else single(b"SET", *command[1:3])
                elif operation.is_known and result in ((None,), ([None],)):
                    action = None
            if action is not None:
                moved[position] = len(kept)
                kept.append(
                    Operation(
                        operation.invoked,
                        operation.completed,
                        action,
                        result,
                        moved.get(operation.after, -1),
                        operation.who,
                    )
                )
        return kept


CLOCKS_AGREE = Expiry()


def _commands(operation: Operation) -> Sequence[Sequence[bytes]]:
    commands: Sequence[Sequence[bytes]] = operation.action[1]  # type: ignore[index]
    return commands


def _life(command: Sequence[bytes]) -> float | None:
    """Seconds that a SET gives its value; None for any other command."""
    if command[0] != b"SET" or b"PX" not in command:
        return None
    return int(command[command.index(b"PX") + 1]) / 1000
