"""The `leto` script: with options it serves in the foreground, with a subcommand it is the operator's tool."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from leto.process.signals import hold_standard_descriptors, take_signals_early


def main(argv: Sequence[str] | None = None) -> int:
    """Run `leto`; returns the exit status. Failures to start are SystemExit with one line."""
    hold_standard_descriptors()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        take_signals_early()
    from leto import tap  # and Twisted with it: after the signals

    options = tap.Options()
    stdout = sys.stdout
    sys.stdout = output = _Output(stdout)
    try:
        try:
            if arguments and not arguments[0].startswith("-"):
                return _tool(arguments)
            options.parseOptions(arguments)
        finally:
            output.flush()
    except _Unwritable as failed:
        if not isinstance(failed.error, BrokenPipeError):  # `leto --help | head`: who reads it has seen enough
            sys.stderr.write(f"leto: cannot write to standard output: {failed.error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        return 1
    finally:
        sys.stdout = stdout
    return tap.makeService(options).run()


class _Unwritable(Exception):
    """What is printed cannot be: `error` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class _Output:
    """Standard output whose failures are told from those of other files, disks and connections."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's. Raises _Unwritable."""
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _Unwritable(error) from None

    def flush(self) -> None:
        """As the stream's. Raises _Unwritable."""
        try:
            self._stream.flush()
        except OSError as error:
            raise _Unwritable(error) from None


def _tool(arguments: list[str]) -> int:
    if arguments[0] == "bench":
        from leto.bench.cli import main as bench

        return bench(arguments[1:])
    from leto.ctl.cli import main as ctl

    return ctl(arguments)


if __name__ == "__main__":
    sys.exit(main())
