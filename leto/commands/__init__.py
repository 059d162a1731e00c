"""The commands that are not the keyspace's: about the connection, the server, the cluster.

A file of commands registers itself by standing in this folder.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from leto.clients.table import CONNECTION

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["CONNECTION"]
