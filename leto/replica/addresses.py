"""Where members are dialled, by their peers and by clients: what a node says of itself, and what it knows of others."""

from __future__ import annotations

import ipaddress

from leto.config import Address, Config
from leto.interfaces.transport import Transport
from leto.raft.configuration import Configuration
from leto.raft.node import Node

LONGEST_NAME = 255  # characters of an id or an incarnation
UNSPECIFIED = ("", "0.0.0.0", "::")


def advertised(config: Config) -> Address:
    """What peers dial, as far as this node can tell by itself: an unspecified host stays empty."""
    return _named(config.advertise or config.raftbind)


def advertised_client(config: Config) -> Address:
    """What clients dial, likewise."""
    return _named(config.advertise_client or config.listen)


def _named(address: Address) -> Address:
    return Address("", address.port) if address.host in UNSPECIFIED else address


def with_host(address: str, host: str) -> str:
    """`address` (host:port) with `host` in the place of an unspecified one."""
    parsed = Address.parse(address)
    return str(Address(host, parsed.port)) if parsed.host in UNSPECIFIED else address


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_members(configuration: Configuration) -> None:
    """Raises ValueError for members that no JOIN could have made: every node would come to grief over them alike."""
    for member in (*configuration.members, *configuration.outgoing):
        if len(member.id) > LONGEST_NAME or not member.id.isprintable():
            raise ValueError(f"{member.id[:32]!r} is no id of a member")
        if len(member.incarnation) > LONGEST_NAME:
            raise ValueError(f"{member.id} has an incarnation of {len(member.incarnation)} characters")
        for address in (member.address, member.client_address):
            if address:
                Address.parse(address)


def differs(own: Address, configured: str) -> bool:
    """Whether a node that advertises `own`, its host possibly unspecified, is certainly not at `configured`."""
    if not configured:
        return False
    known = Address.parse(configured)
    return own.port != known.port or (own.host not in UNSPECIFIED and own.host != known.host)


class AddressBook:
    """One node's, by what the configuration in force and the handshakes say."""

    def __init__(self, config: Config, node: Node, transport: Transport) -> None:
        self._config = config
        self._node = node
        self._transport = transport

    def of_leader(self) -> str:
        """The leader's client address, "" when unknown."""
        return self.of_client(self._node.leader_id) if self._node.leader_id else ""

    def of_client(self, server_id: str) -> str:
        """What clients dial at that member: what it said in its handshake, else what the log says; "" if neither."""
        member = self._node.configuration.member(server_id)
        address = member.client_address if member else ""
        if server_id == self._node.id:
            own = advertised_client(self._config)
            address = address if address and not differs(own, address) else str(own)
        else:
            address = self._transport.client_address(server_id) or address
        if address and member is not None and Address.parse(address).host in UNSPECIFIED:
            address = with_host(address, Address.parse(member.address).host)
        return address
