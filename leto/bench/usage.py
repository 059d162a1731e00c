"""What a server's process has used: CPU seconds by its own account, bytes written by the kernel's, bytes of its log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leto.bench.client import info
from leto.config import Address

LOOPBACK = {"", "127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Since the process began: `cpu` in seconds; `written` in bytes given to the disk; `log` in bytes, as long as
    `log_begins` does not move (the log was not compacted). -1 where it cannot be told.
    """

    cpu: float
    written: int = -1
    log: int = -1
    log_begins: int = 0

    def since(self, before: Usage) -> Usage:
        """What was used between `before` and now."""
        told = self.written >= 0 and before.written >= 0
        grew = self.log >= 0 and before.log >= 0 and self.log_begins == before.log_begins
        return Usage(
            self.cpu - before.cpu, self.written - before.written if told else -1, self.log - before.log if grew else -1
        )


def usage(address: Address, password: str | None = None) -> Usage:
    """Raises BenchError if the server does not answer. A server that does not tell its CPU time has used nan."""
    fields = info(address, b"everything", password=password)
    cpu = float(fields.get("used_cpu_sys", "nan")) + float(fields.get("used_cpu_user", "nan"))
    written = -1
    if address.host in LOOPBACK and fields.get("process_id", "").isdigit():
        written = _written(int(fields["process_id"]))
    log = int(fields.get("raft_log_bytes", fields.get("aof_current_size", "-1")))
    return Usage(cpu, written, log, int(fields.get("raft_first_index", fields.get("aof_base_size", "0"))))


def _written(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:  # another user's, another system's
        return -1
    return parse_io(lines)


def parse_io(lines: list[str]) -> int:
    """write_bytes of /proc/<pid>/io, -1 if it is not among the lines."""
    for line in lines:
        name, _, number = line.partition(":")
        if name == "write_bytes":
            return int(number)
    return -1
