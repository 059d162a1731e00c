"""What a version understands, as one number: its level.

The log holds commands and formats that every member must understand alike. Each of them says since which level it
exists, at its registration; a version's own level is the highest of those it knows. The cluster's level is replicated
(leto.raft.configuration): what is above it is not appended, and it rises once every member has told a level so high.
"""

from __future__ import annotations

from collections.abc import Iterable

BASE = 1  # of all that there was before levels were told


def highest(levels: Iterable[int]) -> int:
    """The level of a version that knows things of these levels."""
    return max(levels, default=BASE)
