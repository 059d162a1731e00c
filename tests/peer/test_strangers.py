"""Who is closed when too many connect to the peers' port and prove nothing."""

from __future__ import annotations

import pytest

from leto.peer.strangers import Strangers
from leto.reactor.places import place_of

MEMBERS = {"10.0.0.1", "10.0.0.2"}


def strangers(limit: int = 16) -> Strangers[str]:
    return Strangers(limit, MEMBERS.__contains__)


def test_other_addresses_never_push_a_members_handshake_out() -> None:
    table = strangers()
    assert table.add("member", "10.0.0.1") is None
    victims = [table.add(f"{host}/{n}", f"192.0.2.{host}") for host in range(50) for n in range(4)]
    assert "member" not in victims
    assert len(table) == 1 + 4


def test_one_address_has_half_of_the_room_at_most() -> None:
    table = strangers()
    victims = [table.add(str(n), "192.0.2.1") for n in range(5)]
    assert victims == [None, None, "0", "1", "2"]


def test_where_there_is_no_room_the_most_crowded_address_loses_its_oldest() -> None:
    table = strangers()
    for name, host in (("loud0", 1), ("loud1", 1), ("quiet0", 2), ("quiet1", 3)):
        assert table.add(name, f"192.0.2.{host}") is None
    assert table.add("one more", "192.0.2.99") == "loud0"


def test_those_that_say_nothing_do_not_push_out_one_that_said_its_name() -> None:
    table = strangers()
    table.add("honest", "10.0.0.1")
    assert table.spoke("honest") is None
    victims = [table.add(str(n), "10.0.0.1") for n in range(100)]
    assert [victim for victim in victims if victim is not None] == [str(n) for n in range(96)]


def test_those_that_said_a_name_and_stay_do_not_keep_newcomers_out() -> None:
    table = strangers()
    for n in range(20):
        table.add(str(n), "10.0.0.1")
        assert table.spoke(str(n)) == (str(n - 4) if n >= 4 else None)
    assert table.add("honest", "10.0.0.1") is None
    assert table.spoke("honest") == "16"


def test_those_that_are_done_count_no_more() -> None:
    table = strangers()
    for n in range(100):
        assert table.add(str(n), "192.0.2.1") is None
        table.spoke(str(n))
        table.discard(str(n))
        table.discard(str(n))
        table.spoke(str(n))
    assert len(table) == 0


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_one_address(host: str, place: str) -> None:
    assert place_of(host) == place
