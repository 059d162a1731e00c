"""When entries were written: the log's time for some of the indexes, so that a key's version tells its age.

Nothing is kept for a key. One sample per second of writing says which index the log had reached; when there are many,
the older half is thinned out, so that an age is told the coarser the greater it is. What was written before the first
sample (it came with a snapshot) counts as written then.
"""

from __future__ import annotations

from bisect import bisect_right

SAMPLE_MS = 1000
SAMPLES = 4096


class Ages:
    """Samples of (index, log time in milliseconds), both ascending."""

    __slots__ = ("_indexes", "_times", "due")

    def __init__(self) -> None:
        self._indexes: list[int] = []
        self._times: list[int] = []
        self.due = 0  # log time from which an entry is worth a sample

    def note(self, index: int, time_ms: int) -> None:
        """The entry at `index` carries the time `time_ms`, which is not less than `due`."""
        self._indexes.append(index)
        self._times.append(time_ms)
        self.due = time_ms + SAMPLE_MS
        if len(self._indexes) >= SAMPLES:
            for samples in (self._indexes, self._times):
                del samples[1 : SAMPLES // 2 : 2]

    def written_at(self, version: int) -> int:
        """The log's time when the entry at index `version` was applied, as far as it is known; 0 without samples."""
        if not self._times:
            return 0
        return self._times[max(0, bisect_right(self._indexes, version) - 1)]
