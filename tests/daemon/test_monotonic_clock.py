"""A jump of the wall clock neither fires nor stalls a timer."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from twisted.internet.selectreactor import SelectReactor

from leto.reactor.monotonic import use_monotonic_clock

# A whole process, since a reactor runs once: the wall clock jumps while the timers wait.
JUMP = """
import sys, time
wall = time.time
offset = 0.0
time.time = lambda: wall() + offset
import twisted.python.runtime as runtime
runtime.seconds = runtime.platform.seconds = time.time
from twisted.internet.base import ReactorBase
ReactorBase.seconds = staticmethod(lambda: time.time())
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
if {monotonic}:
    from leto.reactor.monotonic import use_monotonic_clock
    use_monotonic_clock(reactor)
fired = []
def jump():
    global offset
    offset = {jump}
begun = time.monotonic()
reactor.callLater(0.05, jump)
reactor.callLater(0.3, lambda: fired.append(time.monotonic() - begun))
beats = LoopingCall(lambda: fired.append("beat"))
beats.start(0.1, now=False)
def look():
    if time.monotonic() - begun > 0.45:
        reactor.stop()
    else:
        reactor.callFromThread(look)  # not by a timer: they are what is tested
reactor.callFromThread(look)
reactor.run()
late = [moment for moment in fired if moment != "beat"]
print("on time" if len(late) == 1 and 0.29 < late[0] < 0.45 and fired.count("beat") >= 3 else f"wrong: {{fired}}")
"""


def outcome(monotonic: bool, jump: float) -> str:
    script = JUMP.format(monotonic=monotonic, jump=jump)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_timers_keep_their_time_when_the_wall_clock_jumps(jump: float) -> None:
    assert outcome(True, jump) == "on time"


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_twisteds_own_clock_does_not(jump: float) -> None:
    assert outcome(False, jump).startswith("wrong")  # if this fails, leto.reactor.monotonic is needed no more


def test_delayed_calls_count_by_the_monotonic_clock() -> None:
    reactor = SelectReactor()
    use_monotonic_clock(reactor)
    use_monotonic_clock(reactor)  # twice does no harm
    before = time.monotonic()
    call = reactor.callLater(100, lambda: None)
    assert before + 100 <= call.getTime() <= time.monotonic() + 100
    assert 99 < reactor.timeout() <= 100
    call.reset(200)
    assert 199 < call.getTime() - time.monotonic() <= 200


def test_a_reactor_with_timers_of_the_old_clock_is_refused() -> None:
    reactor = SelectReactor()
    reactor.callLater(1, lambda: None)
    with pytest.raises(RuntimeError, match="is scheduled already"):
        use_monotonic_clock(reactor)
