"""A network of the kernel's for one run: every node in a network namespace of its own, joined by a bridge.

The process that makes it was started by `inside(...)`: it has a network, mounts and processes of its own, which the
kernel takes away with its last process, whoever kills what. So nothing needs a name that is unique on the machine,
and nothing can be left behind.

A node has two addresses on the bridge: its own, and an alias that the harness's proxies use when they dial on its
behalf. What is lost between two nodes is lost for both, so packets can be dropped by direction whether or not a proxy
stands between them.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SUBNET = "10.77.0"
HARNESS = f"{SUBNET}.254"
NAMES = "/run/netns"  # where `ip netns` keeps its handles; a mount of our own hides the machine's
BRIDGE = "nodes"
NOWHERE = "02:00:00:00:00:ff"  # an Ethernet address that nobody has
DROPS = ("rule", "route", "neighbour")  # ways to lose the packets of one direction
UNSHARE = (
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"),
    *("--propagation", "private"),
)
AS_ROOT_OF_ITS_OWN = ("--user", "--map-root-user")


def inside() -> tuple[str, ...]:
    """The words before a command that give it namespaces of its own. Raises Unavailable, which says why not."""
    for tool in ("unshare", "ip", "nsenter", "mount"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    reason = "unshare failed"
    for words in (UNSHARE, (*UNSHARE, *AS_ROOT_OF_ITS_OWN)):
        tried = subprocess.run(
            [*words, sys.executable, "-m", "tests.chaos.namespaces"],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=30,
        )
        if tried.returncode == 0:
            return words
        reason = (tried.stderr.strip().splitlines() or [reason])[-1]
    raise Unavailable(reason)


class Unavailable(Exception):
    """This machine, or this user on it, cannot make network namespaces."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node lives."""

    server_id: str
    namespace: str
    address: str
    alias: str

    def inside(self) -> tuple[str, ...]:
        """The words before a command that is to run there; its process id stays the caller's child's."""
        return ("nsenter", f"--net={NAMES}/{self.namespace}", "--")


class Namespaces:
    """For a process that `inside` started, once. Faults are of what one node sends to another."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"packets {seed}")
        self.places: dict[str, Place] = {}
        self.drops = 0
        self._undo: list[tuple[str, str]] = []  # (namespace, what takes a fault away)
        self._unplugged: set[str] = set()
        for directory in ("/run", "/dev/shm"):
            _run("mount", "-t", "tmpfs", "none", directory)
        _ip(
            "",
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} up",
            f"addr add {HARNESS}/24 dev {BRIDGE}",
        )

    def place(self, server_id: str) -> Place:
        """A namespace for one more node, with its link to the bridge."""
        number = len(self.places) + 1
        place = Place(server_id, f"n{number}", f"{SUBNET}.{number}", f"{SUBNET}.{100 + number}")
        _run("ip", "netns", "add", place.namespace)
        _ip(
            "",
            f"link add {place.namespace} type veth peer name eth0 netns {place.namespace}",
            f"link set {place.namespace} master {BRIDGE} up",
            f"addr add {place.alias}/24 dev {BRIDGE}",
        )
        _ip(
            place.namespace,
            f"addr add {place.address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
            "rule add pref 100 lookup local",  # after the rules that drop what comes in
            "rule del pref 0",
        )
        for name in ("ip_early_demux", "tcp_early_demux"):  # else what a connection receives is asked of no rule
            _run(*place.inside(), "sh", "-c", f"echo 0 >/proc/sys/net/ipv4/{name}")
        self.places[server_id] = place
        return place

    def drop(self, pairs: Iterable[tuple[str, str]], ways: Sequence[str] = DROPS) -> None:
        """Lose every packet from the first of each pair to the second. A `rule` loses it at the receiver; a `route`
        at the sender, who is told; a `neighbour` sends it to an Ethernet address that nobody has."""
        faults: dict[str, list[str]] = {}
        for source, destination in pairs:
            way = self.random.choice(ways)
            at, peer = self.places[destination if way == "rule" else source], self.places[source]
            if way != "rule":
                peer = self.places[destination]
            for address in (peer.address, peer.alias):
                made, undone = {
                    "rule": (
                        f"rule add pref 50 from {address} iif eth0 blackhole",
                        f"rule del pref 50 from {address} iif eth0 blackhole",
                    ),
                    "route": (f"route add blackhole {address}/32", f"route del blackhole {address}/32"),
                    "neighbour": (
                        f"neigh replace {address} lladdr {NOWHERE} nud permanent dev eth0",
                        f"neigh del {address} dev eth0",
                    ),
                }[way]
                if (at.namespace, undone) not in self._undo:
                    faults.setdefault(at.namespace, []).append(made)
                    self._undo.append((at.namespace, undone))
            self.drops += 1
        for namespace, commands in faults.items():
            _ip(namespace, *commands)

    def unplug(self, server_id: str) -> None:
        """Take its link down: nobody reaches it, clients and harness included."""
        self._unplugged.add(server_id)
        _ip("", f"link set {self.places[server_id].namespace} down")

    @property
    def unplugged(self) -> frozenset[str]:
        return frozenset(self._unplugged)

    def throttle(self, server_id: str, rate: float) -> None:
        """All that it sends shares `rate` bytes a second; what finds the short queue full is lost."""
        namespace = self.places[server_id].namespace
        bits = int(rate * 8)
        _run(
            *("tc", "-n", namespace, "qdisc", "replace", "dev", "eth0", "root", "tbf"),
            *("rate", f"{bits}bit", "burst", "4kb", "limit", "30kb"),
        )
        self._undo = [(space, undone) for space, undone in self._undo if (space, undone) != (namespace, "tbf")]
        self._undo.append((namespace, "tbf"))

    def heal(self) -> None:
        """Whole again."""
        for server_id in sorted(self._unplugged):
            _ip("", f"link set {self.places[server_id].namespace} up")
        self._unplugged.clear()
        commands: dict[str, list[str]] = {}
        for namespace, undone in self._undo:
            if undone == "tbf":
                _run("tc", "-n", namespace, "qdisc", "del", "dev", "eth0", "root")
            else:
                commands.setdefault(namespace, []).append(undone)
        self._undo.clear()
        for namespace, lines in commands.items():
            _ip(namespace, *lines)


def disk(directory: Path, size: int) -> None:
    """A disk of `size` bytes at `directory`, which goes with this process's mounts."""
    directory.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(directory))


def _ip(namespace: str, *commands: str) -> None:
    """Run commands of ip(8) in one batch, in a namespace or ("") here."""
    words = ["ip", *(("-n", namespace) if namespace else ()), "-batch", "-"]
    _run(*words, given="\n".join(commands) + "\n")


def _run(*words: str, given: str = "") -> None:
    """Raises Unavailable with what the command said."""
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(words)}: {' '.join((done.stderr or given).split())}")


if __name__ == "__main__":  # can it be done here? Exit status 0, or a line that says why not
    try:
        tried = Namespaces(0)
        tried.place("a")
        tried.place("b")
        tried.drop([("a", "b")])
        tried.heal()
    except (Unavailable, OSError) as error:
        sys.exit(str(error))
