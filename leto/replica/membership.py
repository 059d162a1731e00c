"""Membership as users ask for it: each wish becomes a target configuration, proposed when the cluster can take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater

from leto.config import Address, Config
from leto.errors import ConfigurationRefused, NotLeader, OutcomeUnknown, Stopping, UnknownMember
from leto.raft.configuration import Configuration, Member, demoted, promoted, with_member, without_member
from leto.raft.node import Node
from leto.raft.state import Role
from leto.replica.addresses import UNSPECIFIED, advertised, differs, is_loopback, with_host

MEET_SECONDS = 3.0  # how long the leader tries to reach a node that is to be taken in
MOST_MEETINGS = 16  # at a time: each is a connection, and any client may ask for one
Meet = Callable[[str, str, str | None, float], Deferred[int]]
UNKNOWN = "the membership change was appended, but leadership was lost before it committed: it may or may not happen"


def names(configurations: Iterable[Configuration], server_id: str, incarnation: str) -> bool:
    """Whether the first of them that knows the id means this data directory by it, and not one that it superseded."""
    for configuration in configurations:
        member = configuration.member(server_id)
        if member is not None:
            return member.incarnation == incarnation
    return False


def in_words(member: Member) -> str:
    """A member, for the log."""
    kind = "voter" if member.voter else "joining" if member.joining else "learner"
    return f"{member.id} {member.address} ({kind})"


class Membership:
    """One change at a time: the others wait for it, for at most the write timeout.

    `node` says what is in force and is given what is wanted, `wake` has the driver see to it, `meet` (of
    leto.interfaces.transport.Transport) tells whether a node is where it says. `waiting` are the changes that were
    appended and are not known to be committed.
    """

    def __init__(self, clock: Any, config: Config, node: Node, wake: Callable[[], None], meet: Meet) -> None:
        self._clock = clock
        self._config = config
        self._node = node
        self._wake = wake
        self._meet = meet
        self._lock = DeferredLock()
        self.waiting: list[tuple[int, int, Deferred[None]]] = []  # (index, term, who waits)
        self._meetings: list[Deferred[int]] = []  # under way, the oldest first
        self._stopped = False

    def add(
        self,
        server_id: str,
        address: str,
        *,
        voter: bool | None,
        client_address: str,
        reached_at: str,
        incarnation: str,
    ) -> Deferred[None]:
        """Add a learner, or move a known id to `address`. `voter`: whether it is promoted once it has caught up; None:
        the node asks itself (JOIN), so a new id is, a known one stays what it is, and the node must be met there
        first."""
        host = Address.parse(address).host
        client = with_host(client_address, host) if client_address else ""

        def target(configuration: Configuration) -> Configuration:
            known = configuration.member(server_id)
            kept = voter if voter is not None else known is None
            if known is not None:
                if voter is False and (known.voter or known.joining):
                    raise ConfigurationRefused(f"{server_id} is a member already, and not a learner: demote it")
                # A learner stays one whatever its directory; a voter that lost its disk votes again one day.
                kept = kept or known.voter or known.joining
            if known is None or (incarnation and known.incarnation != incarnation):
                if server_id == self._config.id:
                    raise ConfigurationRefused(f"{server_id} is the id of the leader itself: give the new node another")
                # Also the way back for a server that lost its disk: whatever it acknowledged before is void.
                member = Member(server_id, address, False, kept, client, incarnation)
            else:
                member = msgspec.structs.replace(
                    known,
                    address=address,
                    client_address=client or _along(known, address),
                    joining=kept and not known.voter,
                )
            return with_member(self._with_own_address(configuration, reached_at), member)

        if voter is not None:
            return self.change(target)

        def understanding(level: int | None) -> Callable[[Configuration], Configuration]:
            def target_if_understood(configuration: Configuration) -> Configuration:
                # Looked at when its turn comes: the level may have been raised since the node was met.
                if level is not None and level < configuration.level:
                    raise ConfigurationRefused(
                        f"{server_id} understands level {level}, this cluster is at level {configuration.level}: "
                        "start it with the version that the members run"
                    )
                return target(configuration)

            return target_if_understood

        met = Deferred.fromCoroutine(self._met(server_id, address, incarnation))
        return met.addCallback(lambda level: self.change(understanding(level)))

    def move(
        self, server_id: str, address: str, *, client_address: str = "", incarnation: str | None = None
    ) -> Deferred[None]:
        """A member is at `address` now, where it must be met first; `incarnation`: on that data directory, if it says
        so. Its client address moves along unless one is given."""
        client = with_host(client_address, Address.parse(address).host) if client_address else ""

        def target(configuration: Configuration) -> Configuration:
            known = configuration.member(self._known(configuration, server_id))
            assert known is not None
            if incarnation is not None and known.incarnation != incarnation:
                raise ConfigurationRefused(f"{server_id} is another data directory's id by now")
            moved = msgspec.structs.replace(known, address=address, client_address=client or _along(known, address))
            return with_member(configuration, moved)

        async def meet_and_move() -> None:
            if self._node.role is Role.LEADER:
                target(self._node.configuration)
            await self._met(server_id, address, "")
            await self.change(target)

        return Deferred.fromCoroutine(meet_and_move())

    async def _met(self, server_id: str, address: str, incarnation: str) -> int | None:
        """Reach the node where its peers are to dial it, before the cluster counts on that: one that cannot be reached
        would be a member of no use. The level that it understands; None where there was no need to ask. Raises
        NotLeader, ConfigurationRefused."""
        node = self._node
        if node.role is not Role.LEADER:
            raise NotLeader()
        known = node.configuration.member(server_id)
        if known is not None and not incarnation:
            incarnation = known.incarnation  # it moves
        if known is not None and (known.address, known.incarnation) == (address, incarnation):
            return None
        check_address(server_id, address)
        if server_id == node.id:
            own = advertised(self._config)
            if differs(own, address):
                raise ConfigurationRefused(
                    f"{server_id}, which leads, is at {own} by its own options, not at {address}: "
                    "start it there, or with --advertise"
                )
            return None
        expected = incarnation if incarnation or known is not None else None
        if len(self._meetings) >= MOST_MEETINGS:
            self._meetings[0].cancel()  # who is there answers at once
        meeting = self._meet(server_id, address, expected, MEET_SECONDS)
        self._meetings.append(meeting)
        try:
            return await meeting
        except (ConnectionError, TimeoutError) as error:
            raise ConfigurationRefused(
                f"{node.id}, which leads, cannot reach {server_id} at {address}, its address for peers: {error}"
            ) from error
        finally:
            self._meetings.remove(meeting)

    def remove(self, server_id: str) -> Deferred[None]:
        return self.change(lambda configuration: without_member(configuration, self._known(configuration, server_id)))

    def promote(self, server_id: str) -> Deferred[None]:
        return self.change(lambda configuration: promoted(configuration, self._known(configuration, server_id)))

    def demote(self, server_id: str) -> Deferred[None]:
        return self.change(lambda configuration: demoted(configuration, self._known(configuration, server_id)))

    def applied(self, index: int, term: int, configuration: Configuration) -> None:
        """The configuration entry at `index` was applied. A joint one is only half of the change."""
        if configuration.is_joint:
            return
        done = [item for item in self.waiting if item[0] <= index]
        self.waiting = [item for item in self.waiting if item[0] > index]
        for _, asked_in_term, waiter in done:
            if asked_in_term == term:
                waiter.callback(None)
            else:
                waiter.errback(OutcomeUnknown(UNKNOWN))

    def overtaken(self, index: int, term: int) -> None:
        """An entry of `term` was applied at `index`, or a snapshot that ends with it. A change that a leader of an
        earlier term had anywhere, or one of another there or before, may be overwritten, and nothing else would end
        its waiting: its node may lead again, its lock still held."""
        self._abandon(lambda at, of: of < term or (at <= index and of != term))

    def abandon(self, term: int) -> None:
        """Nobody will say what became of the changes that were appended in `term` or before it."""
        self._abandon(lambda at, of: of <= term)

    def stop(self) -> None:
        """Nobody will say what became of those that were appended, and those that wait for their turn have none."""
        self._stopped = True
        self._abandon(lambda at, of: True)

    def _abandon(self, is_lost: Callable[[int, int], bool]) -> None:
        lost = [item for item in self.waiting if is_lost(item[0], item[1])]
        self.waiting = [item for item in self.waiting if not is_lost(item[0], item[1])]
        for _, _, waiter in lost:
            waiter.errback(OutcomeUnknown(UNKNOWN))

    def _known(self, configuration: Configuration, server_id: str) -> str:
        if configuration.member(server_id) is None:
            raise UnknownMember(server_id)
        return server_id

    def _with_own_address(self, configuration: Configuration, reached_at: str) -> Configuration:
        """A bootstrapped node learns its own host from the address that a join reached it at; a later join from
        another machine corrects a loopback one."""
        own = configuration.member(self._config.id)
        if own is None or not reached_at or self._config.advertise is not None:
            return configuration

        def learnt(address: str, bound: Address) -> str:
            host = Address.parse(address).host if address else ""
            correctable = is_loopback(host) and bound.host in UNSPECIFIED and not is_loopback(reached_at)
            if address and (host in UNSPECIFIED or correctable) and bound.takes(reached_at):
                return str(Address(reached_at, Address.parse(address).port))
            return address

        return with_member(
            configuration,
            msgspec.structs.replace(
                own,
                address=learnt(own.address, self._config.raftbind),
                client_address=learnt(own.client_address, self._config.listen),
            ),
        )

    def _silent_majority(self, wanted: Configuration) -> list[str]:
        """The voters of `wanted` that this leader has not heard lately, where they leave the others no majority.

        Such a change could not commit, and would keep even the voters that it takes away from the rest: a node that
        lost its disk then finds no leader that could take it back (what etcd calls its strict reconfiguration check).
        """
        node, voters = self._node, wanted.voter_ids()
        if set(voters) == set(node.configuration.voter_ids()):
            return []
        horizon = self._clock.seconds() - self._config.election_timeout
        progress = node.progress
        silent = [id for id in voters if id != node.id and (id not in progress or progress[id].last_contact < horizon)]
        return sorted(silent) if (len(voters) - len(silent)) * 2 <= len(voters) else []

    def _superseded_alive(self, wanted: Configuration) -> list[str]:
        """Members whose place another data directory would take though they answer: two nodes were given one id, or a
        question of an earlier life was held up on its way. One that lost its disk is silent."""
        node = self._node
        horizon = self._clock.seconds() - self._config.election_timeout
        progress = node.progress
        return [
            member.id
            for member in wanted.members
            if (known := node.configuration.member(member.id)) is not None
            and known.incarnation != member.incarnation
            and member.id in progress
            and progress[member.id].last_contact >= horizon
        ]

    def change(self, target: Callable[[Configuration], Configuration]) -> Deferred[None]:
        """Make the configuration what `target` makes of the one in force, in turn. Errbacks with LetoErrors."""
        return Deferred.fromCoroutine(self._change_once_free(target))

    async def _change_once_free(self, target: Callable[[Configuration], Configuration]) -> None:
        await self._lock.acquire().addTimeout(self._config.write_timeout, self._clock, _not_its_turn)
        try:
            await self._change_in_turn(target)
        except GeneratorExit:
            raise  # dropped with its replica: whoever has the next turn is dropped too, or was already
        except BaseException:
            self._lock.release()
            raise
        self._lock.release()

    async def _change_in_turn(self, target: Callable[[Configuration], Configuration]) -> None:
        node = self._node
        deadline = self._clock.seconds() + self._config.write_timeout
        while True:
            if self._stopped:
                raise Stopping("the node is stopping")
            if node.role is not Role.LEADER:
                raise NotLeader()
            wanted = target(node.configuration)
            settled = node.can_change_configuration
            if wanted == node.configuration and settled:
                return
            silent = self._silent_majority(wanted)
            alive = self._superseded_alive(wanted)
            if (settled and not silent and not alive) or self._clock.seconds() >= deadline:
                break
            await deferLater(self._clock, self._config.heartbeat_interval / 4)
        if settled and silent:
            raise ConfigurationRefused(
                f"{', '.join(silent)} cannot be heard of, and without them the new voters have no majority: "
                "bring them back first"
            )
        if alive:
            raise ConfigurationRefused(
                f"another node {', '.join(alive)} is a member and answers: ids must be unique. "
                "If it is to be replaced, stop it first"
            )
        check_addresses(wanted)
        index = node.propose_configuration(wanted, self._clock.seconds())
        waiter: Deferred[None] = Deferred()
        self.waiting.append((index, node.term, waiter))
        self._wake()
        await waiter


def _not_its_turn(failure: Any, seconds: float) -> NoReturn:
    """The lock was not free in time."""
    raise ConfigurationRefused(
        f"another change of members has been under way for {seconds:g} s: nothing was changed, ask again later"
    )


def check_addresses(configuration: Configuration) -> None:
    """A cluster of several must be able to dial every member. Raises ConfigurationRefused, naming the member."""
    if len(configuration.members) < 2:
        return
    for member in configuration.members:
        check_address(member.id, member.address)


def check_address(server_id: str, address: str) -> None:
    """Others must be able to dial a member. Raises ConfigurationRefused."""
    if Address.parse(address).host in UNSPECIFIED:
        raise ConfigurationRefused(
            f"{server_id} has the address {address!r}, which others cannot dial: "
            "give the node an --advertise address, or one with a host"
        )


def _along(member: Member, address: str) -> str:
    """The client address of a member that moves to `address` and names none: on its new host, if it was on the old."""
    client = Address.parse(member.client_address) if member.client_address else None
    if client is None or client.host != Address.parse(member.address).host:
        return member.client_address
    return str(Address(Address.parse(address).host, client.port))
