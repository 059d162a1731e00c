"""A node's settings: each stated once, read from the command line, the environment and a file."""

from leto.config.address import Address
from leto.config.limits import OutputLimit, OutputLimits
from leto.config.settings import LONGEST_PASSWORD, Config, FollowerPolicy, FsyncPolicy, ReadMode, is_server_id

__all__ = [
    "LONGEST_PASSWORD",
    "Address",
    "Config",
    "FollowerPolicy",
    "FsyncPolicy",
    "OutputLimit",
    "OutputLimits",
    "ReadMode",
    "is_server_id",
]
