"""How long gathered requests wait for company before they become a log entry."""

from __future__ import annotations

import random

from leto.replica.patience import (
    FLIGHT_SECONDS,
    HOLD_BYTES,
    PROMPT_SECONDS_MOST,
    RETURN_SECONDS,
    Patience,
    prompt_until,
)


class Leader:
    """Requests of 100 bytes, entries that take `flight` seconds until they are answered."""

    def __init__(self, flight=0.001):
        self.patience = Patience()
        self.now = 100.0
        self.flight = flight
        self.gathered = self.returning = self.elsewhere = 0
        self.appended = []  # requests in entries under way
        self.entries = []

    @property
    def waiting(self):
        return self.gathered + sum(self.appended)

    def look(self):
        size = 100 * self.gathered
        if self.gathered and self.patience.is_over(self.now, self.gathered, size, self.waiting, self.elsewhere):
            self.patience.sent(self.now, self.gathered, self.returning)
            self.entries.append(self.gathered)
            self.appended.append(self.gathered)
            self.gathered = self.returning = 0
            return True
        return False

    def comes(self, count=1, *, returns=False):
        """That many requests come; whether they became an entry."""
        self.gathered += count
        self.returning += count * returns
        return self.look()

    def answer(self):
        """The oldest entry is applied."""
        count = self.appended.pop(0)
        self.patience.answered(self.now)
        self.look()
        return count

    def closed_loop(self, clients, rounds):
        """Clients that ask again as soon as they are answered, one after the other."""
        self.comes(clients - clients // 2)
        self.comes(clients // 2)
        for _ in range(rounds):
            self.now += self.flight
            back = self.answer()
            for _ in range(back):
                self.now += RETURN_SECONDS / 200
                self.comes(returns=True)
            self.look()


def test_a_request_that_comes_alone_becomes_an_entry_at_once():
    leader = Leader()
    for _ in range(20):
        assert leader.comes()
        leader.now += leader.flight
        leader.answer()
        leader.now += 0.5


def test_one_client_never_waits():
    leader = Leader()
    assert leader.comes()
    for _ in range(100):
        leader.now += leader.flight
        leader.answer()
        assert leader.comes(returns=True)


def test_what_comes_while_an_entry_is_on_its_way_is_gathered_for_the_next():
    leader = Leader()
    assert leader.comes()
    assert not leader.comes(3)
    assert not leader.comes(2)
    leader.now += leader.flight
    leader.answer()
    assert leader.entries == [1, 5]


def test_a_distant_quorum_is_not_waited_for():
    leader = Leader(flight=0.1)
    leader.closed_loop(50, 40)
    leader.now = max(leader.now, leader.patience.hold_until)
    assert leader.comes()
    assert not leader.comes()
    leader.now += FLIGHT_SECONDS
    assert leader.look()


def test_clients_that_ask_again_at_once_come_to_share_one_entry():
    for clients in (2, 10, 50, 200):
        leader = Leader()
        leader.closed_loop(clients, 60)
        assert min(leader.entries[-10:]) >= 0.9 * clients


def test_an_entry_worth_having_waits_for_nobody():
    leader = Leader()
    leader.closed_loop(50, 40)
    while not leader.appended:
        leader.now += RETURN_SECONDS
        leader.comes(returns=True)
    assert leader.comes(HOLD_BYTES // 100 + 1)


def test_no_wait_is_longer_than_its_bound_however_many_come():
    leader = Leader()
    leader.closed_loop(50, 40)
    while leader.appended:
        leader.now += leader.flight
        leader.answer()
    answered = leader.now
    leader.gathered = leader.returning = 0
    leader.comes(2, returns=True)
    while leader.gathered:
        leader.now += RETURN_SECONDS * 0.9
        leader.comes(returns=True)
        assert leader.now <= answered + FLIGHT_SECONDS + RETURN_SECONDS
    assert leader.entries[-1] < 45


def test_clients_that_come_when_they_please_wait_for_nobody():
    source = random.Random(5)
    leader = Leader()
    leader.closed_loop(50, 40)
    held = 0
    for number in range(1000):
        for _ in range(source.choice((1, 1, 2, 6))):
            leader.comes(returns=source.random() < 0.2)
        if number > 50 and leader.gathered and not leader.appended:
            held += 1
        leader.now = max(leader.now, leader.patience.hold_until)
        leader.look()
        leader.now += leader.flight
        while leader.appended:
            leader.answer()
    assert held == 0


def test_clients_that_wait_elsewhere_are_expected_but_not_waited_for():
    leader = Leader()
    leader.elsewhere = 40  # of 50 clients ten write, and forty read at the same time
    leader.closed_loop(10, 40)
    while leader.appended:
        leader.now += leader.flight
        leader.answer()
    leader.elsewhere = 20  # the others were answered, and may come here or there
    assert not leader.comes(10, returns=True)
    leader.elsewhere = 25
    assert not leader.comes(5, returns=True)
    leader.elsewhere = 30
    assert leader.look()
    assert leader.entries[-1] == 15


def test_a_client_has_as_long_to_ask_again_as_its_company_takes_to_be_served():
    assert 5.0 < prompt_until(5.0, 1) < prompt_until(5.0, 100) < prompt_until(5.0, 100_000) == 5.0 + PROMPT_SECONDS_MOST
