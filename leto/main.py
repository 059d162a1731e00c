"""The `leto` script: with options it serves in the foreground, with a subcommand it is the operator's tool."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from leto import tap


def main(argv: Sequence[str] | None = None) -> int:
    """Run `leto`; returns the exit status. Failures to start are SystemExit with one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] == "bench":
        from leto.bench.cli import main as bench

        return bench(arguments[1:])
    if arguments and not arguments[0].startswith("-"):
        from leto.ctl.cli import main as ctl

        return ctl(arguments)
    options = tap.Options()
    options.parseOptions(arguments)
    return tap.makeService(options).run()


if __name__ == "__main__":
    sys.exit(main())
