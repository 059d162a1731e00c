"""Who votes: configurations, and which changes from one to the next are legal.

A Configuration lives in the log (an entry of kind CONFIGURATION) and is in force from the moment it is
appended, committed or not (paper 6). With `outgoing` voters it is joint: elections and commitment need a
majority of both sets (paper 6, dissertation 4.3).
"""

from __future__ import annotations

import msgspec


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One server: its id, where peers dial it, and what it is.

    `address` is host:port of its Raft port, host possibly empty while a bootstrapped node has not learnt
    its own. `client_address` is host:port of its Redis port, "" when unknown. `joining`: a learner that the
    leader promotes to voter as soon as it has caught up (dissertation 4.2.1)."""

    id: str
    address: str
    voter: bool
    joining: bool = False
    client_address: str = ""


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """`members` sorted by id: the incoming voters (voter=True) and the learners.
    `outgoing`: while joint, the members that voted before (sorted by id), with their addresses; else empty."""

    members: tuple[Member, ...] = ()
    outgoing: tuple[Member, ...] = ()
