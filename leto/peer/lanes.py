"""What waits to be sent to one peer: bounded, in lanes, the urgent first. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from leto.peer.frames import CHECKSUM, FRAGMENT_BYTES, FRAGMENT_HEADER, Kind, Lane, Seal
from leto.peer.rope import Rope

URGENT_BYTES: Final = 4 << 20  # bound of the urgent lane, whatever the others'
_URGENT: Final = int(Lane.URGENT)  # plain ints: an enum's members cost a lookup each on the hot path
_APPENDS: Final = int(Lane.APPENDS)
_REQUESTS: Final = int(Lane.REQUESTS)
_OVERHEAD: Final = 64  # counted for each message besides its bytes, so that empty ones are bounded too


class Lanes:
    """Messages leave by lane: URGENT before all others, which take turns frame by frame.

    A lane takes a message while its bytes stay within the bound. An empty lane takes one of any size, and one that
    needs fragments only has to find no more than the bound before it: that a large one can be sent must not depend
    on when the small ones come. What does not fit is dropped: Raft sends it again, which takes it some time to find
    out.
    """

    __slots__ = ("_bounds", "_cut", "_large", "_next", "_queues", "_sizes", "count", "dropped", "seal")

    def __init__(self, bound: int) -> None:
        self._queues: tuple[deque[tuple[int, Any]], ...] = (deque(), deque(), deque())
        self._sizes = [0, 0, 0]
        self._bounds = (min(URGENT_BYTES, bound), bound, bound)
        self._cut = [0, 0, 0]  # bytes of the lane's first message that have left already
        self._large = [0, 0, 0]  # messages in the lane that need fragments
        self._next = _APPENDS
        self.count = 0  # messages that wait, or are on their way
        self.seal: Seal = CHECKSUM
        self.dropped = 0  # messages that did not fit, since the connection was made

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def size(self) -> int:
        """Bytes that wait, overhead included."""
        return sum(self._sizes)

    def waits(self, lane: int) -> bool:
        """Whether something in that lane has not left yet."""
        return bool(self._queues[lane])

    def holds_large(self, lane: int) -> bool:
        """Whether a message that needs fragments waits, or is on its way, in that lane."""
        return self._large[lane] > 0

    def put(self, lane: int, kind: int, body: bytes | Rope) -> bool:
        """Queue one message; False if it does not fit and was dropped."""
        size = len(body) + _OVERHEAD
        waiting = self._sizes[lane]
        total = waiting + size
        if total > self._bounds[lane] and waiting and (len(body) <= FRAGMENT_BYTES or waiting > self._bounds[lane]):
            self.dropped += 1
            return False
        if len(body) > FRAGMENT_BYTES:
            if lane == _URGENT:
                raise ValueError(f"a message of {len(body)} bytes is too large for the urgent lane")
            self._large[lane] += 1
        self._sizes[lane] = total
        self._queues[lane].append((kind, body))
        self.count += 1
        return True

    def take(self, budget: int) -> bytes:
        """Frames to send now: about `budget` bytes (all urgent ones first, then at least one other)."""
        pieces: list[bytes | memoryview] = []
        taken = 0
        urgent = self._queues[_URGENT]
        if urgent:
            head = self.seal.head
            for kind, body in urgent:
                pieces.append(head(kind, body))
                pieces.append(body)
                taken += len(body)
            self.count -= len(urgent)
            urgent.clear()
            self._sizes[_URGENT] = 0
        appends, requests = self._queues[_APPENDS], self._queues[_REQUESTS]
        while appends or requests:
            lane = self._next
            if not self._queues[lane]:
                lane = _REQUESTS if lane == _APPENDS else _APPENDS
            taken += self._take_frame(lane, pieces)
            self._next = _REQUESTS if lane == _APPENDS else _APPENDS
            if taken >= budget:
                break
        return b"".join(pieces)

    def _take_frame(self, lane: int, pieces: list[bytes | memoryview]) -> int:
        """Move the next frame of `lane` to `pieces`; its size."""
        queue = self._queues[lane]
        kind, body = queue[0]
        length = len(body)
        if length <= FRAGMENT_BYTES:
            pieces.append(self.seal.head(kind, body))
            pieces.append(body)
            self._pop(lane, length)
            return length
        sent = self._cut[lane]
        stop = min(sent + FRAGMENT_BYTES, length)
        content = body.cut(sent, stop) if isinstance(body, Rope) else [memoryview(body)[sent:stop]]
        if sent:
            fragment = b"".join((bytes((lane,)), *content))
            pieces.append(self.seal.head(Kind.MORE, fragment))
        else:
            fragment = b"".join((FRAGMENT_HEADER.pack(lane, kind, length), *content))
            pieces.append(self.seal.head(Kind.FIRST, fragment))
        pieces.append(fragment)
        sent = stop
        if sent < length:
            self._cut[lane] = sent
        else:
            self._cut[lane] = 0
            self._large[lane] -= 1
            self._pop(lane, length)
        return len(fragment)

    def _pop(self, lane: int, length: int) -> None:
        self._queues[lane].popleft()
        self.count -= 1
        self._sizes[lane] -= length + _OVERHEAD
