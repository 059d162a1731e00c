"""The cluster clock: milliseconds since the epoch, by which entries are stamped and keys expire.

The leader keeps it, the others hear of it. It never goes back, whoever leads, and it never stands still: wall clocks
say where it belongs, the leader's monotonic clock how fast it goes. Behind the time that is confirmed it jumps there;
ahead of it, it goes on a little slower than the monotonic clock until they meet. So a time to live always ends, and a
time of the day is right again some day.

Confirmed is the time that a majority of the voters' wall clocks stand for: they tell it with their votes and their
answers to heartbeats. The leader's own wall clock is taken for it while it is no further from it than
`max_clock_offset`. A voter alone is its own majority. Where two voters differ by more, nobody knows which is right: the
cluster clock goes on by the monotonic one between them, catches up with the slower one if it is behind both, and slows
down if it is ahead of both.

A wall clock is kept as an offset: what it is ahead of this node's monotonic clock, in milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from math import inf
from operator import itemgetter

from leto.raft.progress import Progress
from leto.raft.state import Role, Sample, Span, State

SLEW = 0.01  # of the monotonic clock's rate: how much slower a clock goes that is ahead
HELD_UP_MS = 1000  # what says so much less than must have passed was on its way for long, or lay at a stopped process
REMEMBERED_SECONDS = 60.0  # a member that was not heard for longer may have another time by now
REMEMBERED_BEATS = 64  # heartbeats whose answers may still come
_GRAIN = 0.01  # milliseconds of rounding: 2^53 holds no finer ones of a time since the epoch
# Milliseconds, the end of the year 9999: nobody is believed more. The clock goes on from what was heard, so it must be
# far from what entries and messages can hold, or one member's word would stop the cluster for good.
LATEST_MS = 253_402_300_800_000

# everywhere ---------------------------------------------------------------------------------------------


def heard(s: State, clock_ms: int) -> None:
    """Somebody has told the cluster clock, or the log has reached it."""
    clock_ms = min(clock_ms, LATEST_MS)
    if clock_ms <= s.clock_ms:
        return
    if s.now - s.clock_at > HELD_UP_MS / 1000 and passed(s, s.now) - clock_ms > HELD_UP_MS:  # it was that long ago
        s.clock_at += (clock_ms - s.clock_ms) / (1000 * (1 - SLEW))
    else:
        s.clock_at = s.now
    s.clock_ms = clock_ms


def own_wall_ms(s: State) -> int:
    """This node's wall clock, for others; 0 while it is not known."""
    return 0 if s.wall is None else max(0, int(s.now * 1000 + s.wall))


def passed(s: State, now: float) -> int:
    """What the cluster clock must have reached by now, whoever keeps it, since it was heard."""
    return s.clock_ms + int((now - s.clock_at) * (1000 * (1 - SLEW))) if s.clock_ms else 0


def local(s: State, wall_ms: int, now: float) -> int:
    """By what this node judges on its own, at any time: never ahead of the cluster clock for long, never behind what
    was shown here before. The own wall clock alone counts until a leader was heard."""
    if s.role is Role.LEADER:
        advance(s, wall_ms, now)
        shown = s.clock_ms
    elif s.clock_heard:
        shown = passed(s, now)
    else:
        return max(wall_ms, s.clock_ms)
    if shown > s.clock_shown:
        s.clock_shown = shown
    return s.clock_shown


# others' wall clocks ------------------------------------------------------------------------------------


def sample(s: State, peer: str, wall_ms: int, asked_at: float) -> None:
    """A member told its wall clock at some time since `asked_at`; 0: its version tells none, and contradicts nobody."""
    trip = (s.now - asked_at) * 1000
    if not wall_ms:
        s.walls[peer] = None
    elif trip <= s.settings.max_clock_offset * 1000:
        s.walls[peer] = Sample(wall_ms - s.now * 1000 + trip / 2, trip, s.now)


def beat(s: State) -> None:
    """Leader: a heartbeat goes out, whose answers tell the time."""
    s.beats.append((s.round, s.now))
    s.beat = s.round
    if len(s.beats) > REMEMBERED_BEATS:
        del s.beats[0]
    weigh(s)


def answered(s: State, progress: Progress, peer: str, round: int, wall_ms: int) -> None:
    """Leader: a member has echoed a round; the first echo since a heartbeat is its answer."""
    position = bisect_right(s.beats, round, key=_number) - 1
    if position >= 0 and s.beats[position][0] > progress.beat:
        progress.beat, asked_at = s.beats[position]
        sample(s, peer, wall_ms, asked_at)


_number = itemgetter(0)


def weigh(s: State) -> None:
    """Leader: between which offsets the own wall clock is confirmed, as far as the voters' are known."""
    s.spans = spans = [_span(s, voters) for voters in (s.voters, s.outgoing) if voters]
    bound = s.settings.max_clock_offset * 1000
    s.wall_low = max((max(span.least_low, span.least_high) for span in spans), default=-inf) - bound
    s.wall_high = min((min(span.most_low, span.most_high) for span in spans), default=inf) + bound


def _span(s: State, voters: Collection[str]) -> Span:
    own = 0  # voters that count as the leader's own clock does
    low: list[float] = []
    high: list[float] = []
    for id in voters:
        if id == s.id:
            own += 1
            continue
        known = s.walls.get(id, _UNKNOWN)
        if known is None:
            own += 1
        elif s.now - known.at <= REMEMBERED_SECONDS:
            low.append(known.offset)
            high.append(known.offset)
        else:
            low.append(-inf)
            high.append(inf)
    count = len(voters)
    return Span(*_between(sorted(low), (count - 1) >> 1, own), *_between(sorted(high), count >> 1, own))


_UNKNOWN = Sample(0.0, 0.0, -inf)


def _between(others: Sequence[float], position: int, own: int) -> tuple[float, float]:
    """Between what a value lies that stands at `position` among the others, sorted, and `own` equal ones more."""
    least = others[position - own] if position >= own else -inf
    most = others[position] if position < len(others) else inf
    return least, most


# the leader's -------------------------------------------------------------------------------------------


def advance(s: State, wall_ms: int, now: float) -> None:
    """The cluster clock goes on to `now`."""
    s.wall = wall = wall_ms - now * 1000
    low, high = (wall, wall) if s.wall_low <= wall <= s.wall_high else _confirmed(s, wall)
    offset = s.clock_ms - s.clock_at * 1000
    if offset < low:
        offset = low
    elif offset > high:
        offset = max(high, offset - SLEW * 1000 * (now - s.clock_at))
    exact = offset + now * 1000
    clock_ms = int(exact + _GRAIN)
    if clock_ms > s.clock_ms:
        s.clock_ms = clock_ms
        s.clock_at = now - (exact - clock_ms) / 1000


def _confirmed(s: State, wall: float) -> tuple[float, float]:
    """(what the cluster clock is to catch up with, what it must not run ahead of), where the own wall clock is out of
    bounds."""
    bound = s.settings.max_clock_offset * 1000
    low, high = agreed(s, wall)
    if low == -inf and not s.clock_ms:
        return wall, wall  # no clock was ever heard: it must begin somewhere
    return wall if abs(wall - low) <= bound else low, wall if abs(wall - high) <= bound else high


def agreed(s: State, wall: float) -> tuple[float, float]:
    """(the highest offset that a majority's wall clocks have reached, the lowest that a majority's have not passed);
    infinite where too few are known."""
    low = min((min(max(wall, span.least_low), span.most_low) for span in s.spans), default=wall)
    high = max((min(max(wall, span.least_high), span.most_high) for span in s.spans), default=wall)
    return low, high


def error(s: State) -> float:
    """Leader: by how much the own wall clock is out of bounds: milliseconds ahead (or less than 0: behind) of what a
    majority stands for; 0 while that confirms it, or too few are known."""
    wall = s.wall
    if wall is None or s.wall_low <= wall <= s.wall_high:
        return 0.0
    low, high = agreed(s, wall)
    off = wall - low if wall > low else wall - high
    return off if abs(off) < inf else 0.0
