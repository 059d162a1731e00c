"""`python -m tests.fuzz TARGET... [--seconds N]`: coverage-guided fuzzing by atheris (`pip install .[fuzz]`).

Starts from the target's seeds and its directory in tests/fuzz/corpus. An input that makes a target raise is written
there as `found-...`, its traceback is shown, and the status is 1: fix what it found and keep the file, which every
run of the tests replays from then on. `--keep N` adds up to N small inputs that reached something new.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
NAMES = (
    "readers", "session", "frames", "handshake", "messages", "core", "forwarded", "entries",
    "segment", "forged", "directory", "small-files", "snapshot", "keyspace-snapshot",
)  # fmt: skip


def fuzz(name: str, arguments: list[str]) -> None:
    """In a process of its own: libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["leto"]):
        from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    seeds = Path(arguments[-1])
    for data in target.seeds:
        (seeds / hashlib.sha1(data).hexdigest()).write_bytes(data)
    atheris.Setup([sys.argv[0], *arguments], target.run)
    atheris.Fuzz()


def run(name: str, seconds: int, keep: int) -> bool:
    """Fuzz one target; whether it raised nothing."""
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="leto-fuzz-") as work:
        fresh, seeds = Path(work) / "new", Path(work) / "seeds"
        for directory in (fresh, seeds):
            directory.mkdir()
        options = [
            f"-max_total_time={seconds}", "-print_final_stats=1", "-max_len=1024", "-timeout=30", "-rss_limit_mb=2048",
            f"-artifact_prefix={kept}/found-", "-verbosity=1", str(fresh), str(kept), str(seeds),
        ]  # fmt: skip
        command = [sys.executable, "-m", "tests.fuzz", "--inside", name, *options]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        output = done.stdout + done.stderr
        executed = re.search(r"number_of_executed_units: (\d+)", output)
        coverage = re.findall(r"cov: (\d+)", output)
        print(
            f"{name}: {executed.group(1) if executed else '?'} executions in {seconds} s,"
            f" coverage {coverage[0] if coverage else '?'} -> {coverage[-1] if coverage else '?'},"
            f" {len(list(fresh.iterdir()))} new inputs, {'nothing found' if done.returncode == 0 else 'FAILED'}",
            flush=True,
        )
        if done.returncode:
            print(output[-6000:])
        for path in sorted(fresh.iterdir(), key=lambda path: path.stat().st_size)[:keep]:
            shutil.copy(path, kept / path.name[:16])
    return done.returncode == 0


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of what clients, peers and disks hand in.")
    parser.add_argument(
        "targets", nargs="+", choices=(*NAMES, "all"), metavar="TARGET", help=", ".join((*NAMES, "all"))
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="keep up to N new inputs of each")
    arguments = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        raise SystemExit("atheris is not installed: pip install '.[fuzz]'") from None
    os.chdir(CORPUS.parents[2])
    names = NAMES if "all" in arguments.targets else arguments.targets
    good = [run(name, arguments.seconds, arguments.keep) for name in names]  # all of them, also after a failure
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
