"""Runs in processes of their own, several side by side, each with its own network, ports, clocks and disks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.namespaces import Unavailable, inside
from tests.chaos.plan import Plan
from tests.chaos.report import Report
from tests.chaos.worker import SPARE_SECONDS

ROOT = Path(__file__).parents[2]
POLL = 0.1


def choose_network(wish: str) -> tuple[str, tuple[str, ...], str]:
    """What `auto`, `namespaces` or `proxies` comes to here: the network, the words that start a process in it, and a
    line that says why it is not the wish. Raises Unavailable where namespaces are demanded and cannot be."""
    if wish == "proxies":
        return "proxies", (), ""
    try:
        return "namespaces", inside(), ""
    except (Unavailable, OSError, subprocess.TimeoutExpired) as error:
        if wish == "namespaces":
            raise Unavailable(f"no network namespaces here: {error}") from None
        return "proxies", (), f"no network namespaces here ({error}): nodes share loopback, behind proxies"


@dataclass
class Job:
    """One run under way."""

    plan: Plan
    directory: Path
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def log(self) -> Path:
        return self.directory / "worker.log"

    def outcome(self) -> Report:
        """Its report; if it has none, one that says how it ended."""
        try:
            report: Report = json.loads((self.directory / "report.json").read_text())
        except (OSError, ValueError):
            said = self.log.read_text(errors="replace")[-6000:]
            report = failed(self.plan, f"the run ended with status {self.process.returncode} and no report:\n{said}")
        return report

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def failed(plan: Plan, reason: str) -> Report:
    """The report of a run that made none."""
    judgement = {"groups": 0, "operations": 0, "violations": [], "undecided": [], "hardest": 0}
    nothing = {"reads": 0, "writes": 0, "failovers": [], "healing_seconds": 0.0, "seconds": 0.0, "drops": 0}
    return {
        **nothing,
        "plan": asdict(plan),
        "passed": False,
        "failures": [reason],
        "actions": {},
        "operations": {},
        "judgement": judgement,
        "command": plan.command,
        "setting": plan.setting.text,
    }


def start(plan: Plan, words: tuple[str, ...], directory: Path) -> Job:
    """Begin a run in `directory`. Its process, and all that it starts, end when this one does."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "plan.json").write_text(json.dumps(asdict(plan)))
    command = [*words, sys.executable, "-m", "tests.chaos.worker", str(directory)]
    if (setpriv := shutil.which("setpriv")) is not None:
        command = [setpriv, "--pdeathsig", "KILL", "--", *command]
    with (directory / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return Job(plan, directory, process)


def run_all(
    plans: Iterable[Plan],
    words: Mapping[str, tuple[str, ...]],
    jobs: int,
    *,
    until: float | None = None,
    tell: Callable[[str], None] = print,
) -> Iterator[tuple[Job, Report]]:
    """Each run as it ends, `jobs` at a time; `words` start a process in each of the networks. None is begun after
    `until` (monotonic seconds). Ends all when closed."""
    waiting = iter(plans)
    running: list[Job] = []
    pace = threading.Event()
    exhausted = False
    try:
        while True:
            while len(running) < jobs and not exhausted:
                plan = None if until is not None and time.monotonic() >= until else next(waiting, None)
                if plan is None:
                    exhausted = True
                    break
                running.append(
                    start(plan, words[plan.network], Path(tempfile.mkdtemp(prefix=f"leto-chaos-{plan.seed}-")))
                )
                tell(f"seed {plan.seed} begins: {plan.nodes} nodes, {plan.network}, {plan.setting.text}")
            if not running:
                return
            for job in list(running):
                if job.process.poll() is None and time.monotonic() - job.began > job.plan.seconds + SPARE_SECONDS + 30:
                    job.kill()  # it should have ended by itself, saying where it hangs
                if job.process.poll() is not None:
                    running.remove(job)
                    yield job, job.outcome()
            pace.wait(POLL)
    finally:
        for job in running:
            job.kill()


def lower_priority(steps: int) -> None:
    """Give way to others on this machine."""
    if steps:
        os.nice(steps)


def end_on_term() -> None:
    """SIGTERM unwinds this process, and so ends what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
