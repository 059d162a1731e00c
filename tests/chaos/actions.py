"""The nemesis's actions: how often each is drawn, what it lays hands on, and what it needs to be possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import members, partitions, processes, surroundings
from tests.chaos.nemesis import Nemesis, Pauses


@dataclass(frozen=True, slots=True)
class Action:
    """`uses`: two actions run together only if they differ in it. `needs`: a feature of the run, "" for none."""

    weight: int
    uses: str
    begin: Callable[[Nemesis], Pauses]
    needs: str = ""


ACTIONS: dict[str, Action] = {
    "kill": Action(5, "processes", processes.kill),
    "kill-leader": Action(5, "processes", processes.kill_leader),
    "kill-all": Action(2, "processes", processes.kill_all),
    "crash-point": Action(4, "processes", processes.crash_point),
    "pause": Action(3, "processes", processes.pause),
    "pause-leader": Action(4, "processes", processes.pause_leader),
    "rolling-restart": Action(2, "processes", processes.rolling_restart),
    "leave-rejoin": Action(3, "processes", members.leave_and_rejoin),
    "lost-disk": Action(2, "processes", members.lose_disk),
    "demote-promote": Action(2, "processes", members.demote_and_promote),
    "full-disk": Action(4, "processes", surroundings.fill_disk, "disks"),
    "halves": Action(4, "network", partitions.halves),
    "isolate-leader": Action(4, "network", partitions.isolate_leader),
    "one-way": Action(4, "network", partitions.one_way),
    "bridge": Action(2, "network", partitions.bridge),
    "unplug": Action(4, "network", partitions.unplug, "namespaces"),
    "shape": Action(2, "network", partitions.shape, "namespaces"),
    "delay": Action(3, "network", partitions.delay, "proxies"),
    "throttle": Action(2, "network", partitions.throttle, "proxies"),
    "resets": Action(3, "network", partitions.resets, "proxies"),
    "skew": Action(4, "clocks", surroundings.skew, "skew"),
    "jump": Action(4, "clocks", surroundings.jump, "jumps"),
    "transfer": Action(4, "transfer", members.transfer),
    "snapshot": Action(4, "snapshot", members.snapshot),
}
