"""python -m tests.overload all: real nodes under more load than they can carry, and a verdict on each scenario.

flood     ten times the load, for minutes            value     a key of 100 MB
idle      ten thousand idle connections              unread    clients that ask and do not read
stopped   a follower that stands still under load    behind    a follower a million entries behind

Exit status 0: every promise held. The figures are those of this machine, and of whatever else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.overload.scenarios import SCENARIOS


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.overload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="+", choices=[*SCENARIOS, "all"])
    parser.add_argument("--seconds", type=float, help="how long the load lasts, where a scenario has a length")
    parser.add_argument("--clients", type=int, help="of flood and unread")
    parser.add_argument("--connections", type=int, help="of idle")
    parser.add_argument("--megabytes", type=int, help="of value")
    parser.add_argument("--entries", type=int, help="of behind")
    parser.add_argument("--node-options", default="", help="more options of every node, in one word")
    parser.add_argument("--directory", help="where the nodes keep their data")
    parser.add_argument("--nice", type=int, default=0, help="give way to others on the machine")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args(arguments)
    os.nice(options.nice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the nodes end with this process
    names = list(SCENARIOS) if "all" in options.scenario else options.scenario
    reports = []
    for name in names:
        scenario = SCENARIOS[name]
        taken = scenario.__kwdefaults__
        measures: dict[str, Any] = {
            measure: value for measure in taken if (value := getattr(options, measure, None)) is not None
        }
        with tempfile.TemporaryDirectory(prefix=f"leto-overload-{name}-", dir=options.directory) as directory:
            print(f"{name}: {scenario.__doc__}", flush=True)
            report = scenario(Path(directory), tuple(options.node_options.split()), **measures)
        reports.append(report)
        load = " ".join(f"{average:.1f}" for average in os.getloadavg())
        report.figure("load average of the machine", f"{load}, {os.cpu_count()} cores")
        print(report.text(), flush=True)
        if options.report is not None:
            options.report.write_text(json.dumps([each.as_data() for each in reports], indent=1))
    return 0 if all(report.passed for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
