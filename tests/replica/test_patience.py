"""How long gathered requests wait for company before they become a log entry."""

from __future__ import annotations

import random

from leto.replica.patience import FIRST_PAUSE, FLIGHT_SECONDS, HOLD_BYTES, LONGEST_PAUSE, RETURN_SECONDS, Patience


class Leader:
    """Requests of 100 bytes, entries that take `flight` seconds until they are answered."""

    def __init__(self, flight=0.001):
        self.patience = Patience()
        self.now = 100.0
        self.flight = flight
        self.gathered = 0
        self.appended = []  # requests in entries under way
        self.entries = []

    @property
    def waiting(self):
        return self.gathered + sum(self.appended)

    def look(self):
        if self.gathered and self.patience.is_over(self.now, self.gathered, 100 * self.gathered, self.waiting):
            self.patience.sent(self.now, self.gathered)
            self.entries.append(self.gathered)
            self.appended.append(self.gathered)
            self.gathered = 0
            return True
        return False

    def comes(self, count=1):
        """That many requests come; whether they became an entry."""
        self.gathered += count
        return self.look()

    def answer(self):
        """The oldest entry is applied."""
        count = self.appended.pop(0)
        self.patience.answered(self.now, self.gathered)
        self.look()
        return count

    def closed_loop(self, clients, rounds):
        """Clients that ask again as soon as they are answered, a few at a time."""
        self.comes(clients - clients // 2)
        self.comes(clients // 2)
        for _ in range(rounds):
            self.now += self.flight
            back = self.answer()
            for _ in range(back):
                self.now += RETURN_SECONDS / 100
                self.comes()
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
    for _ in range(20):
        leader.now += leader.flight
        leader.answer()
        assert leader.comes()


def test_what_comes_while_an_entry_is_on_its_way_is_gathered_for_the_next():
    leader = Leader()
    assert leader.comes()
    assert not leader.comes(3)
    assert not leader.comes(2)
    leader.now += leader.flight
    leader.answer()
    leader.now += RETURN_SECONDS
    assert leader.look() or not leader.gathered
    assert leader.entries == [1, 5]


def test_a_distant_quorum_is_not_waited_for():
    leader = Leader()
    assert leader.comes()
    assert not leader.comes()
    leader.now = leader.patience.hold_until
    assert leader.now <= 100.0 + FLIGHT_SECONDS
    assert leader.look()


def test_clients_that_ask_again_at_once_come_to_share_one_entry():
    leader = Leader()
    leader.closed_loop(50, 40)
    assert min(leader.entries[-10:]) >= 45


def test_an_entry_worth_having_waits_for_nobody():
    leader = Leader()
    assert leader.comes()
    assert leader.comes(HOLD_BYTES // 100 + 1)


def test_no_wait_is_longer_than_its_bound_however_many_come():
    leader = Leader()
    leader.closed_loop(50, 20)
    leader.now += leader.flight
    leader.answer()
    answered = leader.now
    leader.gathered = 0
    leader.comes(2)
    while leader.gathered:
        leader.now += RETURN_SECONDS * 0.9
        leader.comes()
        assert leader.now <= answered + FLIGHT_SECONDS + RETURN_SECONDS
    assert leader.entries[-1] < 45


def test_where_clients_think_before_they_ask_waiting_is_given_up():
    source = random.Random(5)
    leader = Leader()
    held = 0
    for _ in range(4 * LONGEST_PAUSE):
        for _ in range(source.choice((1, 1, 2, 6))):
            leader.comes()
        while leader.gathered and not leader.appended:
            held += 1
            leader.now = leader.patience.hold_until
            leader.look()
        leader.now += leader.flight
        while leader.appended:
            leader.answer()
    assert held < len(leader.entries) / 20


def test_requests_that_come_at_a_steady_rate_are_not_held_for_company():
    """An open loop: nobody waits for anybody's reply."""
    source = random.Random(7)
    leader = Leader(flight=0.0015)
    free_since = lands_at = leader.now
    comes_at = leader.now
    held = []
    for _ in range(20_000):
        comes_at += source.expovariate(10_000)
        while leader.appended and lands_at <= comes_at:
            leader.now = free_since = lands_at
            leader.answer()
            if leader.appended:
                held.append(0.0)
                lands_at = leader.now + leader.flight
        leader.now = comes_at
        was_free = not leader.appended
        if leader.comes() and was_free:
            held.append(leader.now - free_since)
            lands_at = leader.now + leader.flight
    assert sum(held) / len(held) < 0.1 * leader.flight


def test_waiting_is_tried_again_after_a_pause():
    leader = Leader()
    leader.closed_loop(50, 20)
    for _ in range(3):  # most of them leave
        leader.now += 0.01
        while leader.appended:
            leader.answer()
        leader.comes(2)
        leader.now += 0.01
        leader.look()
    leader.closed_loop(50, 4 * FIRST_PAUSE)
    assert min(leader.entries[-5:]) >= 45
