"""The `leto` script: with options it serves in the foreground, with a subcommand it is the operator's tool."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from leto.process.signals import hold_standard_descriptors, take_signals_early


def main(argv: Sequence[str] | None = None) -> int:
    """Run `leto`; returns the exit status. Failures to start are SystemExit with one line."""
    hold_standard_descriptors()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        take_signals_early()
    from leto import tap  # and Twisted with it: after the signals

    options = tap.Options()
    try:
        try:
            if arguments and not arguments[0].startswith("-"):
                return _tool(arguments)
            options.parseOptions(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `leto --help | head`: who reads it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return tap.makeService(options).run()


def _tool(arguments: list[str]) -> int:
    if arguments[0] == "bench":
        from leto.bench.cli import main as bench

        return bench(arguments[1:])
    from leto.ctl.cli import main as ctl

    return ctl(arguments)


if __name__ == "__main__":
    sys.exit(main())
