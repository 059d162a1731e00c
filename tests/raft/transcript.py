"""Transcripts: a whole cluster's story as commands and what they lead to, readable as documentation.

A transcript is text. Lines that begin with `#` are prose, `> ` begins a command, and the lines after it that
are indented by four spaces are what happened: who said what to whom, who leads, what is committed, applied, read.
Messages wait in the network until a command delivers or drops them; time moves only by `tick` and `advance`.

    nodes a b c [learners d] [key=value ...]   bootstrap them; keys are those of leto.raft.settings
    start d                  a server with an empty disk
    given a 1 1 4 [term 7]   replace a's log by entries of these terms, and restart it
    campaign a               an election now (pre-vote first)
    elect a                  the same, won, with all that follows; only the result is shown
    propose a x [y ...]      commands, as one client's
    change a KIND id ...     KIND: add-learner, add-joining, add-voter, promote, demote, remove, voters (exactly these)
    transfer a b             a hands leadership to b
    read a                   a linearizable read at a
    deliver [a->b] [kind]    what is under way now, not what it leads to; kind: append, appended, vote, ...
    repeat [a->b] [kind]     deliver it, and leave a copy of it under way
    drop [a->b] [kind]       lose it
    network                  what is under way
    stabilize [quiet]        deliver and persist until nothing is under way; quiet: only who leads, and reads
    partition a b | c        only servers of a group hear each other
    cut a->b                 what a sends to b is lost
    heal                     the network is whole
    crash a [noticed]        noticed: the others see its connections close
    restart a                a process starts on what the disk holds
    pause a, resume a        the process stands still; messages to it wait
    disk a on-command        a's disk syncs only when told to: persist a
    persist a                all that waits is durable
    disk a at-once           a's disk syncs at once again
    step-down a              a's disk hangs: a leader gives up
    leader-lost a            a's connection to the leader closes
    compact a [n]            snapshot what a has applied, keep n entries of the log before it
    tick a                   time moves to a's next timer, which fires; no other's does
    advance 500ms [quiet]    time passes, timers fire, messages are delivered
    status [a ...]           a line a server
    log a                    a's log

Randomness is constant here: the first server's election timeouts are the shortest, the last one's the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from leto.errors import LetoError
from leto.raft.configuration import Configuration, demoted, promoted, with_member, without_member
from leto.raft.messages import Entry, EntryKind, HardState, Message
from tests.raft.describe import entries_text, message_text
from tests.raft.disk import LogImage
from tests.raft.network import Cluster, configuration_of, member

INDENT = "    "


class Constant(Random):
    """Always the same draw."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


class Transcript:
    """Runs commands on one cluster and collects what happens."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.quiet = False
        self.cluster = Cluster(record=self.record)

    def record(self, kind: str, text: str) -> None:
        if kind == "lost":
            text = f"lost: {text}"
        if not self.quiet or kind in ("role", "read"):
            self.lines.append(text)

    def command(self, line: str) -> list[str]:
        """Run one command, -> its output."""
        verb, *words = line.split()
        self.lines = []
        self.quiet = "quiet" in words
        words = [word for word in words if word != "quiet"]
        try:
            getattr(self, "do_" + verb.replace("-", "_"))(words)
        except LetoError as error:
            self.lines.append(f"{type(error).__name__}: {error}")
        return self.lines

    # building -------------------------------------------------------------------------------------------------------

    def do_nodes(self, words: list[str]) -> None:
        ids = [word for word in words if "=" not in word]
        settings = dict(word.split("=") for word in words if "=" in word)
        at = ids.index("learners") if "learners" in ids else len(ids)
        self.cluster = Cluster(record=self.record)
        self.cluster.settings = {"commit_notice": 0.0} | {key: SETTING[key](value) for key, value in settings.items()}
        self._draws = iter([0.0, 0.3, 0.6, 0.9, 0.45, 0.75, 0.15])
        self.cluster.server_class = self._server_class()
        self.cluster.bootstrap(configuration_of(ids[:at], ids[at + 1 :]))
        self.lines = []

    def _server_class(self) -> Callable:
        def make(cluster, id_, settings, random):
            return Cluster.server_class(cluster, id_, settings, Constant(next(self._draws)))

        return make

    def do_start(self, words: list[str]) -> None:
        self.cluster.add_server(words[0])

    def do_given(self, words: list[str]) -> None:
        id_, *rest = words
        at = rest.index("term") if "term" in rest else len(rest)
        terms = [int(term) for term in rest[:at]]
        server = self.cluster[id_]
        first = server.disk.durable.entry(1)
        assert terms[0] == 1, "the first entry is the configuration, of term 1"
        entries = [first] + [Entry(i, t, EntryKind.COMMAND, b"%d@%d" % (i, t)) for i, t in enumerate(terms[1:], 2)]
        server.crash()
        server.disk.durable = LogImage(1, 0, entries)
        server.disk.written = server.disk.durable.copy()
        term = int(rest[at + 1]) if at < len(rest) else terms[-1]
        server.disk.hard_state = HardState(term, "", 1)
        server.start()
        self.lines = []

    # inputs ---------------------------------------------------------------------------------------------------------

    def do_campaign(self, words: list[str]) -> None:
        self.cluster[words[0]].campaign()

    def do_elect(self, words: list[str]) -> None:
        server = self.cluster.elect(words[0])
        self.lines = [f"{server.id} leads term {server.node.term}"]

    def do_propose(self, words: list[str]) -> None:
        for payload in words[1:]:
            index = self.cluster[words[0]].propose(payload.encode())
            self.lines.append(f'"{payload}" has index {index}')

    def do_change(self, words: list[str]) -> None:
        leader, kind, *ids = words
        target = self.cluster[leader].node.configuration
        target = Configuration(target.members)
        if kind == "voters":
            target = configuration_of(ids, [m.id for m in target.members if not m.voter and m.id not in ids])
        else:
            for id_ in ids:
                target = CHANGE[kind](target, id_)
        index = self.cluster[leader].change(target)
        self.lines.append(f"the change has index {index}")

    def do_transfer(self, words: list[str]) -> None:
        self.cluster[words[0]].transfer(words[1])

    def do_read(self, words: list[str]) -> None:
        server = self.cluster[words[0]]
        at = len(self.lines)
        context = server.read()
        self.lines.insert(at, f"{server.id} asks for read {context}")

    def do_step_down(self, words: list[str]) -> None:
        self.cluster[words[0]].step_down()

    def do_leader_lost(self, words: list[str]) -> None:
        self.cluster[words[0]].leader_lost()

    def do_compact(self, words: list[str]) -> None:
        trailing = int(words[1]) if len(words) > 1 else 0
        server = self.cluster[words[0]]
        meta = server.snapshot(trailing)
        self.lines.append(
            f"snapshot of {meta.index}@{meta.term}, the log is {server.log.first}..{server.log.last}"
            if meta
            else "nothing new"
        )

    # the network ------------------------------------------------------------------------------------------------------

    def _matching(self, words: list[str]) -> Callable[[Message], bool]:
        ways = [tuple(word.split("->")) for word in words if "->" in word]
        kinds = [word for word in words if "->" not in word]

        def matches(message: Message) -> bool:
            kind = message_text(message).split("  ", 1)[1].split()[0]
            return (not ways or (message.sender, message.to) in ways) and (not kinds or kind in kinds)

        return matches

    def do_deliver(self, words: list[str]) -> None:
        for envelope in self.cluster.take(self._matching(words)):
            self.cluster.deliver(envelope)

    def do_repeat(self, words: list[str]) -> None:
        for envelope in self.cluster.take(self._matching(words)):
            self.cluster.post(envelope.message, envelope.blob)
            self.cluster.deliver(envelope)

    def do_drop(self, words: list[str]) -> None:
        for envelope in self.cluster.take(self._matching(words)):
            self.cluster.lose(envelope)

    def do_network(self, words: list[str]) -> None:
        for envelope in sorted(self.cluster.network, key=lambda e: e.number):
            self.lines.append(message_text(envelope.message))

    def do_stabilize(self, words: list[str]) -> None:
        self.cluster.settle()

    def do_partition(self, words: list[str]) -> None:
        self.cluster.partition(*(group.split() for group in " ".join(words).split("|")))

    def do_cut(self, words: list[str]) -> None:
        for word in words:
            sender, to = word.split("->")
            self.cluster.cut.add((sender, to))

    def do_heal(self, words: list[str]) -> None:
        self.cluster.heal()

    # servers' fates -------------------------------------------------------------------------------

    def do_crash(self, words: list[str]) -> None:
        self.cluster.crash(words[0], noticed="noticed" in words)

    def do_restart(self, words: list[str]) -> None:
        if self.cluster[words[0]].live is not None:
            self.cluster.crash(words[0])
        self.cluster[words[0]].start()

    def do_pause(self, words: list[str]) -> None:
        self.cluster[words[0]].paused = True

    def do_resume(self, words: list[str]) -> None:
        self.cluster.resume(words[0])

    def do_disk(self, words: list[str]) -> None:
        self.cluster[words[0]].sync_delay = {"on-command": None, "at-once": lambda: 0.0}[words[1]]

    def do_persist(self, words: list[str]) -> None:
        server = self.cluster[words[0]]
        server.persist()
        server.settle()

    # time and looking -----------------------------------------------------------------------------

    def do_tick(self, words: list[str]) -> None:
        server = self.cluster[words[0]]
        self.cluster.time = max(self.cluster.time, server.deadline())
        server.tick()

    def do_advance(self, words: list[str]) -> None:
        assert words[0].endswith("ms")
        self.cluster.run(int(words[0][:-2]) / 1000)

    def do_status(self, words: list[str]) -> None:
        for server, line in zip(self.cluster.servers.values(), self.cluster.status(), strict=True):
            if not words or server.id in words:
                self.lines.append(line)

    def do_log(self, words: list[str]) -> None:
        log = self.cluster[words[0]].log
        if log.first > 1:
            self.lines.append(f"a snapshot up to {log.first - 1}@{log.prev_term}")
        self.lines.extend(entries_text([entry]) for entry in log.entries)


SETTING = {
    "election_timeout": float,
    "heartbeat_interval": float,
    "max_append_bytes": int,
    "max_inflight_appends": int,
    "max_uncommitted_bytes": int,
    "lease": lambda text: text == "True",
}

CHANGE: dict[str, Callable[[Configuration, str], Configuration]] = {
    "add-learner": lambda c, id_: with_member(c, member(id_, voter=False)),
    "add-joining": lambda c, id_: with_member(c, member(id_, voter=False, joining=True)),
    "add-voter": lambda c, id_: with_member(c, member(id_)),
    "promote": promoted,
    "demote": demoted,
    "remove": without_member,
}


def rerun(text: str) -> str:
    """The transcript with the output its commands have now."""
    transcript = Transcript()
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("> "):
            lines.append(line)
            lines.extend(INDENT + output for output in transcript.command(line[2:]))
        elif not line.startswith(INDENT):
            lines.append(line)
    return "\n".join(lines) + "\n"
