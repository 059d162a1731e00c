"""python -m tests.chaos.worker DIRECTORY: one run, in a process of its own, by DIRECTORY/plan.json."""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
from pathlib import Path

from tests.chaos.plan import Plan
from tests.chaos.run import run

SPARE_SECONDS = 600.0  # beyond the faults: for the start, the healing, the last reads, the verdict


def main(directory: Path) -> int:
    """Exit status 0 if there is a report, whatever it says. Whoever waits is told where a run hangs, and it ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the nodes end with this process
    plan = Plan.from_data(json.loads((directory / "plan.json").read_text()))
    faulthandler.dump_traceback_later(plan.seconds + SPARE_SECONDS, exit=True)
    outcome = run(plan, directory)
    (directory / "report.txt").write_text(outcome.text() + "\n")
    (directory / "report.json").write_text(json.dumps(outcome.as_data(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
