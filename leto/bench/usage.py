"""What a server's process has used: CPU seconds by its own account, bytes written by the kernel's where it is near."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leto.bench.client import info
from leto.config import Address

LOOPBACK = {"", "127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Since the process began: `cpu` in seconds; `written` in bytes given to the disk, -1 where it cannot be told."""

    cpu: float
    written: int = -1

    def since(self, before: Usage) -> Usage:
        """What was used between `before` and now."""
        told = self.written >= 0 and before.written >= 0
        return Usage(self.cpu - before.cpu, self.written - before.written if told else -1)


def usage(address: Address, password: str | None = None) -> Usage:
    """Raises BenchError if the server does not answer. A server that does not tell its CPU time has used nan."""
    fields = info(address, b"everything", password=password)
    cpu = float(fields.get("used_cpu_sys", "nan")) + float(fields.get("used_cpu_user", "nan"))
    written = -1
    if address.host in LOOPBACK and fields.get("process_id", "").isdigit():
        written = _written(int(fields["process_id"]))
    return Usage(cpu, written)


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
