"""A follower's progress: its states, its window, and 0 <= match < next whatever happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leto.raft.progress import PROBE, REPLICATE, SNAPSHOT, Progress

steps = st.lists(
    st.one_of(
        st.tuples(st.just("sent"), st.integers(1, 5), st.integers(0, 100)),
        st.tuples(st.just("acknowledged"), st.integers(0, 60)),
        st.tuples(st.just("probe"), st.integers(0, 60)),
        st.tuples(st.just("replicate"), st.integers(0, 60)),
        st.tuples(st.just("snapshot"), st.integers(1, 60)),
    ),
    max_size=30,
)


@given(steps)
def test_match_never_goes_back_nor_next_below_it_and_the_window_adds_up(moves):
    progress = Progress(1, 0.0)
    for kind, *arguments in moves:
        before = progress.match
        if kind == "sent":
            if progress.state == REPLICATE:
                progress.sent(progress.next + arguments[0] - 1, arguments[1])
        elif kind == "acknowledged":
            assert progress.acknowledged(arguments[0]) is (arguments[0] > before)
        elif kind == "probe":
            progress.become_probe(arguments[0])
        elif kind == "replicate":
            progress.become_replicate(arguments[0])
        else:
            progress.become_snapshot(arguments[0])
        assert before <= progress.match < progress.next
        assert progress.inflight_bytes == sum(size for _, size in progress.inflight)
        assert all(progress.match < index < progress.next for index, _ in progress.inflight)
        assert progress.state == REPLICATE or not progress.inflight
        assert (progress.state == SNAPSHOT) == bool(progress.pending_snapshot)


def test_the_window_is_full_by_number_or_by_bytes_and_answers_open_it():
    progress = Progress(1, 0.0)
    progress.become_replicate(1)
    for index in range(1, 4):
        assert not progress.is_full(3, 1000)
        progress.sent(index, 10)
    assert progress.is_full(3, 1000) and progress.is_full(10, 30) and not progress.is_full(10, 31)
    progress.acknowledged(2)
    assert list(progress.inflight) == [(3, 10)] and not progress.is_full(3, 30)


def test_an_append_larger_than_the_window_may_be_sent_alone():
    progress = Progress(1, 0.0)
    progress.become_replicate(1)
    assert not progress.is_full(8, 1 << 20)
    progress.sent(1, 100 << 20)
    assert progress.is_full(8, 1 << 20)


def test_a_late_acknowledgement_is_no_news():
    progress = Progress(1, 0.0)
    progress.become_replicate(6)
    assert progress.acknowledged(5)
    assert not progress.acknowledged(3)
    assert (progress.match, progress.next) == (5, 6)


def test_a_new_progress_probes_and_may_wait_for_the_heartbeat():
    progress = Progress(7, 0.0)
    assert (progress.state, progress.match, progress.next, progress.probe_sent) == (PROBE, 0, 7, False)
    progress.become_probe(3, wait=True)
    assert (progress.next, progress.probe_sent) == (3, True)
