"""Who votes: configurations, and which changes from one to the next are legal.

A Configuration lives in the log (an entry of kind CONFIGURATION) and is in force from the moment it is
appended, committed or not (paper 6). With `outgoing` voters it is joint: elections and commitment need a
majority of both sets (paper 6, dissertation 4.3).
"""

from __future__ import annotations

import msgspec

from leto.errors import ConfigurationRefused


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One server: its id, where peers dial it, and what it is.

    `address` is host:port of its Raft port, host possibly empty while a bootstrapped node has not learnt
    its own. `client_address` is host:port of its Redis port, "" when unknown. `joining`: a learner that the
    leader promotes to voter as soon as it has caught up (dissertation 4.2.1). `incarnation` names the data directory
    that joined under this id, "" for the one that bootstrapped: a known id with another one lost its disk."""

    id: str
    address: str
    voter: bool
    joining: bool = False
    client_address: str = ""
    incarnation: str = ""


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """`members` sorted by id: the incoming voters (voter=True) and the learners.
    `outgoing`: while joint, the members that voted before (sorted by id), with their addresses; else empty.
    `level`: of what all of them understand (leto.vocabulary.levels); it never falls."""

    members: tuple[Member, ...] = ()
    outgoing: tuple[Member, ...] = ()
    level: int = 1

    @property
    def is_joint(self) -> bool:
        """Whether two majorities are needed."""
        return bool(self.outgoing)

    def voter_ids(self) -> tuple[str, ...]:
        """The (incoming) voters, sorted."""
        return tuple(m.id for m in self.members if m.voter)

    def outgoing_ids(self) -> tuple[str, ...]:
        """The outgoing voters, sorted; empty unless joint."""
        return tuple(m.id for m in self.outgoing)

    def learner_ids(self) -> tuple[str, ...]:
        """Members that vote in neither set, sorted."""
        outgoing = self.outgoing_ids()
        return tuple(m.id for m in self.members if not m.voter and m.id not in outgoing)

    def member(self, id: str) -> Member | None:
        """The member of that id: the incoming one, where it is in both sets."""
        for member in self.members:
            if member.id == id:
                return member
        for member in self.outgoing:
            if member.id == id:
                return member
        return None

    def ids(self) -> tuple[str, ...]:
        """Everyone that is sent the log: members and outgoing voters, sorted."""
        return tuple(sorted({m.id for m in self.members} | {m.id for m in self.outgoing}))

    def votes(self, id: str) -> bool:
        """Whether that id votes in either set."""
        return any(m.id == id and m.voter for m in self.members) or any(m.id == id for m in self.outgoing)


_decoder = msgspec.msgpack.Decoder(Configuration)
_encoder = msgspec.msgpack.Encoder()


def encode(configuration: Configuration) -> bytes:
    """The payload of a CONFIGURATION entry (MessagePack arrays, fields in their order)."""
    return _encoder.encode(configuration)


def decode(payload: bytes) -> Configuration:
    """Raises ValueError for a payload that is no configuration, or names a server twice."""
    try:
        configuration = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a configuration: {error}") from error
    _check_ids(configuration.members)
    _check_ids(configuration.outgoing)
    if not 0 < configuration.level < 1 << 31:
        raise ValueError(f"a configuration of the impossible level {configuration.level}")
    return configuration


def with_member(configuration: Configuration, member: Member) -> Configuration:
    """With `member` added, or put in the place of the one of its id."""
    others = [m for m in configuration.members if m.id != member.id]
    return Configuration(tuple(sorted([*others, member], key=lambda m: m.id)), level=configuration.level)


def without_member(configuration: Configuration, id: str) -> Configuration:
    """Without that id; the same members if it is none of them."""
    return Configuration(tuple(m for m in configuration.members if m.id != id), level=configuration.level)


def promoted(configuration: Configuration, id: str) -> Configuration:
    """With that learner a voter. Raises ConfigurationRefused if there is no such member."""
    return _with_vote(configuration, id, voter=True)


def demoted(configuration: Configuration, id: str) -> Configuration:
    """With that voter a learner (that stays one). Raises ConfigurationRefused if there is no such member."""
    return _with_vote(configuration, id, voter=False)


def check_change(current: Configuration, target: Configuration) -> None:
    """Whether `target` may follow `current`. Raises ConfigurationRefused, saying why not."""
    if current.is_joint:
        raise ConfigurationRefused("a membership change is in flight (joint consensus)")
    if target.is_joint:
        raise ConfigurationRefused("ask for the final configuration, the joint one on the way is the leader's matter")
    try:
        _check_ids(target.members)
    except ValueError as error:
        raise ConfigurationRefused(str(error)) from error
    if target.level < current.level:
        raise ConfigurationRefused(f"the level of the cluster never falls: it is {current.level}")
    if not target.voter_ids():
        raise ConfigurationRefused("the last voter cannot be removed")
    addresses: dict[str, str] = {}
    for member in target.members:
        if member.voter and member.joining:
            raise ConfigurationRefused(f"{member.id} cannot both vote and still be joining")
        if member.address and addresses.setdefault(member.address, member.id) != member.id:
            raise ConfigurationRefused(
                f"{addresses[member.address]} and {member.id} cannot both be reached at {member.address}"
            )
        known = current.member(member.id)
        if known is None or known.incarnation == member.incarnation:
            continue
        if member.voter:
            raise ConfigurationRefused(f"{member.id} has lost what it acknowledged: it must start over as a learner")
        if known.voter and not is_simple_change(current, target):
            # While joint, the votes of the new data directory would count as the old one's.
            raise ConfigurationRefused(f"{member.id} lost what it acknowledged: take it back in a change of its own")


def with_level(configuration: Configuration, level: int) -> Configuration:
    """With that level, unless it is at a higher one."""
    return msgspec.structs.replace(configuration, level=max(level, configuration.level))


def is_simple_change(current: Configuration, target: Configuration) -> bool:
    """Whether at most one voter differs: any two majorities then share a server, so that no joint
    configuration is needed (dissertation 4.1)."""
    return len(set(current.voter_ids()) ^ set(target.voter_ids())) <= 1


def joint(current: Configuration, target: Configuration) -> Configuration:
    """C(old,new): the target's members together with the voters of before (paper 6)."""
    return Configuration(target.members, tuple(m for m in current.members if m.voter), target.level)


def final(configuration: Configuration) -> Configuration:
    """C(new) of a joint configuration."""
    return Configuration(configuration.members, level=configuration.level)


def _with_vote(configuration: Configuration, id: str, *, voter: bool) -> Configuration:
    for member in configuration.members:
        if member.id == id:
            changed = msgspec.structs.replace(member, voter=voter, joining=False)
            return with_member(configuration, changed)
    raise ConfigurationRefused(f"{id} is not a member")


def _check_ids(members: tuple[Member, ...]) -> None:
    """Raises ValueError unless the ids are non-empty, unique and sorted (so that equal sets encode alike)."""
    before = ""
    for member in members:
        if member.id <= before:
            if not member.id:
                raise ValueError("a member without an id")
            raise ValueError(f"member {member.id} is named twice or out of order")
        before = member.id
