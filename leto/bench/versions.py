"""Other versions of Leto to compare with: a directory, or a commit of the repository that this one lies in."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

from leto.bench.servers import SOURCE
from leto.bench.workloads import BenchError


def source_of(version: str, directory: Path) -> Path:
    """Where the package of `version` lies: as it is if that is a directory, else unpacked below `directory`.

    Raises BenchError.
    """
    if Path(version).is_dir():
        return _checked(Path(version).resolve(), version)
    if version.startswith("-"):
        raise BenchError(f"{version!r} is neither a directory nor a commit")
    argv = ["git", "-C", str(SOURCE), "archive", "--format=zip", f"{version}^{{commit}}", "leto"]
    try:
        done = subprocess.run(argv, capture_output=True, check=False)
    except OSError as error:
        raise BenchError(f"git cannot be run: {error.strerror or error}") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise BenchError(f"{version!r} is neither a directory nor a commit here: {words[-1] if words else ''}")
    place = directory.resolve() / "source"
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        archive.extractall(place)
    return _checked(place, version)


def _checked(place: Path, version: str) -> Path:
    if not (place / "leto" / "main.py").is_file():
        raise BenchError(f"{version}: there is no leto/main.py in it")
    return place
