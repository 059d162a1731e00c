"""Many runs in one report: sums for people, a table for docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

Report = dict[str, Any]  # one run's report.json


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value that `part` of them (0 to 1) do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def summed(reports: Sequence[Report]) -> dict[str, Any]:
    """Over all runs, passed or not."""
    outcomes: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for report in reports:
        actions.update(report["actions"])
        for counts in report["operations"].values():
            for outcome, count in counts.items():
                outcomes[outcome.split(":")[0]] += count
    failovers = sorted(seconds for report in reports for seconds in report["failovers"])
    healings = sorted(report["healing_seconds"] for report in reports)
    judged = [report["judgement"] for report in reports]
    return {
        "runs": len(reports),
        "sizes": dict(Counter(str(report["plan"]["nodes"]) for report in reports)),
        "networks": dict(Counter(report["plan"]["network"] for report in reports)),
        "seeds": sorted(report["plan"]["seed"] for report in reports),
        "failed_seeds": sorted(report["plan"]["seed"] for report in reports if not report["passed"]),
        "faults": sum(actions.values()),
        "faults_by_kind": dict(sorted(actions.items())),
        "packet_drops": sum(report["drops"] for report in reports),
        "minutes_under_faults": round(sum(report["seconds"] for report in reports) / 60, 1),
        "reads_answered": sum(report["reads"] for report in reports),
        "writes_answered": sum(report["writes"] for report in reports),
        "refused": outcomes["refused"],
        "unknown": outcomes["unknown"],
        "aborted": outcomes["aborted"],
        "beyond_the_lease": outcomes["beyond the lease"],
        "groups": sum(judgement["groups"] for judgement in judged),
        "operations_judged": sum(judgement["operations"] for judgement in judged),
        "violations": sum(len(judgement["violations"]) for judgement in judged),
        "undecided": sum(len(judgement["undecided"]) for judgement in judged),
        "failovers": {
            "count": len(failovers),
            "median": quantile(failovers, 0.5),
            "95%": quantile(failovers, 0.95),
            "longest": failovers[-1] if failovers else 0.0,
        },
        "healing": {"median": round(quantile(healings, 0.5), 2), "longest": round(max(healings, default=0.0), 2)},
    }


def table(reports: Sequence[Report]) -> str:
    """Markdown: a row of sums for each network and size, and one of all."""
    lines = [
        "| network, nodes | runs | faults | minutes under faults | answered reads, writes | refused | unknown "
        "| violations, undecided | failed runs | failover median, 95%, longest | whole again after, at most |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows: dict[str, list[Report]] = {}
    for report in reports:
        rows.setdefault(f"{report['plan']['network']}, {report['plan']['nodes']}", []).append(report)
    for name, of_it in [*sorted(rows.items()), ("all", list(reports))]:
        s = summed(of_it)
        failovers = s["failovers"]
        lines.append(
            f"| {name} | {s['runs']} | {s['faults']:,} | {s['minutes_under_faults']} "
            f"| {s['reads_answered']:,}, {s['writes_answered']:,} | {s['refused']:,} | {s['unknown']:,} "
            f"| {s['violations']}, {s['undecided']} of {s['groups']:,} groups | {len(s['failed_seeds'])} "
            f"| {failovers['median']:.2f} s, {failovers['95%']:.2f} s, {failovers['longest']:.2f} s "
            f"| {s['healing']['longest']:.1f} s |"
        )
    return "\n".join(lines)


def faults(reports: Sequence[Report]) -> str:
    """How often each fault was done."""
    return ", ".join(f"{name} {count}" for name, count in summed(reports)["faults_by_kind"].items())


def verdict(reports: Sequence[Report]) -> str:
    """One line."""
    s = summed(reports)
    failed = ", ".join(map(str, s["failed_seeds"]))
    return (
        f"{s['runs']} runs, {s['minutes_under_faults']} min under {s['faults']} faults, "
        f"{s['reads_answered']} reads and {s['writes_answered']} writes answered, "
        f"{s['violations']} violations, {s['undecided']} undecided; "
        + (f"FAILED: seeds {failed}" if failed else "all passed")
    )
