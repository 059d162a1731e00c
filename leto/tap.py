"""The command line of `twistd leto` and of the `leto` script: arguments become a Config, the Config a service."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.python import usage

from leto import __version__
from leto.config.settings import OPTIONS
from leto.config.sources import double_dashes, gathered, help_text, load
from leto.errors import EX_CONFIG, CannotListen, ConfigError, ForeignDirectory, LetoError
from leto.process.signals import hold_standard_descriptors, last_words, take_signals_early

if TYPE_CHECKING:
    from leto.process.service import LetoService


class Refused(SystemExit):
    """The end of a start that cannot succeed; `reason` is the line that stderr got."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(status)
        self.reason = reason


def refuse(reason: object, status: int = EX_CONFIG) -> NoReturn:
    """End a start that cannot succeed: one line on stderr, and a status that tells whether another try may."""
    line = " ".join(str(reason).split())
    last_words(line)
    raise Refused(line, status)


class Options(usage.Options):
    """The options of `leto.config.sources`, as Twisted parses them; takes Go's single dashes too."""

    optParameters = [[option.name, None, None, option.of.help] for option in OPTIONS.values()]

    def getUsage(self, width: int | None = None) -> str:
        return help_text("leto" if self.parent is None else "twistd [options of twistd] leto")

    def __str__(self) -> str:
        return self.getUsage()

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"leto {__version__}\n")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; a mistake ends the process with one line instead of twistd's page of help."""
        try:
            super().parseOptions(gathered(double_dashes(sys.argv[1:] if options is None else options)))
        except (usage.UsageError, ConfigError) as error:
            refuse(f"{error} (--help lists the options)")

    def parseArgs(self, *arguments: str) -> None:
        """Leto takes options only."""
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r} is no option")

    def given(self) -> dict[str, str]:
        """What was typed, by option name."""
        return {name: self[name] for name in OPTIONS if self[name] is not None}


def makeService(options: Options, environment: Mapping[str, str] = os.environ, reactor: Any = None) -> LetoService:
    """Build the node and take hold of all that a start can fail on: the directory, the log, the ports.

    It runs before twistd goes into the background, so that every such failure is one line on the caller's
    terminal and a status (SystemExit): 78 for what is configured wrong, 1 for what may be otherwise later (a port or a
    directory in use, the disk).
    """
    if options.parent is not None:  # the `leto` script has done so already
        hold_standard_descriptors()
        take_signals_early((signal.SIGHUP,))  # twistd takes USR1 for a log of its own only if nobody else has
    try:
        config, warnings = load(options.given(), environment)
        daemon: Mapping[str, Any] = options.parent or {}
        for name in ("chroot", "uid", "gid"):
            if daemon.get(name) is not None:
                raise ConfigError(f"twistd's --{name} is not supported: start Leto as the user that owns its directory")
        # twistd changes into --rundir after this; relative paths mean that directory.
        base = os.path.abspath(daemon.get("rundir") or ".")
        config = replace(
            config,
            raftdir=base if config.raftdir in (".", "./") else os.path.join(base, config.raftdir),
            log_file=config.log_file and os.path.join(base, config.log_file),
        )
        # Only a process that serves pays for these imports; `twistd --help` imports this module too.
        from leto.process.service import LetoService

        if reactor is None:
            from twisted.internet import reactor
        return LetoService.open(config, reactor, warnings=warnings, daemon=options.parent)
    except (ConfigError, ForeignDirectory) as error:
        refuse(error, 1 if isinstance(error, CannotListen) else EX_CONFIG)
    except (LetoError, OSError) as error:
        refuse(error, 1)
