"""Commands with arguments that fit their kinds and nothing else: a result, or one clear error."""

import random

import pytest
from machines_up import booted

from ttbr.report.running import KERNEL_VIEWS, PROCESS_VIEWS
from ttbr.run.mm.process import Process
from ttbr.run.scenario import (
    BadScenario,
    NotAsExpected,
    Outside,
    Session,
    StepFailed,
    parse_line,
)
from ttbr.run.scenario.command import Command

COMMANDS = 1200
NUMBERS = (
    *("0", "1", "3", "16", "4096", "64K", "2M", "4M", "0-1", "free()", "12345678"),
    *("0x9000000", "0x40000000", "0x80000000", "0xc0000000", "0x4000000000"),
    *("0xffff800010000000", "0xffffffffffffffff"),
)
SMALL = ("4K", "64K", "1M")
WORDS = {
    "prot": ("rw-", "r-x", "none", "rwx"),
    "protection": ("rw-", "r--", "none", "r-x"),
    "advice": ("normal", "dontneed", "hugepage", "nohugepage", "dontfork", "wipeonfork"),
    "permission": ("ro", "rw", "x", "nx"),
    "gfp": ("kernel", "highuser", "dma", "movable", "atomic"),
    "view": (*KERNEL_VIEWS, *PROCESS_VIEWS),
    "type": ("device", "wc", "cache", "uncached", "memory", "exec"),
    "operator": ("==", "<"),
}
NOT_TRIED = ("boot", "tlb", "save", "help", "repeat", "fails")


class Writer:
    """Writes lines for a session."""

    def __init__(self, session: Session, rng: random.Random) -> None:
        self.session = session
        self.rng = rng
        self.commands = [c for c in session.commands.values() if c.name not in NOT_TRIED]

    def line(self) -> str:
        rng = self.rng
        command = rng.choice(self.commands)
        words = [command.name]
        for each in command.parameters:
            if not (each.optional and rng.random() < 0.4):
                words.append(self.word(command, each.name, each.kind))
        for name, kind in command.options.items():
            if rng.random() < 0.25:
                words.append(f"{name}={self.word(command, name, kind)}")
        words += [flag for flag in command.flags if rng.random() < 0.3]
        target = f"v{rng.randrange(30)} = " if rng.random() < 0.5 else ""
        return target + " ".join(words)

    def word(self, command: Command, name: str, kind: str) -> str:
        rng = self.rng
        if kind == "number":
            if command.name in ("touch", "read") and name in ("size", "step", "rounds"):
                return rng.choice(SMALL) if name != "rounds" else "2"
            known = [n for n, v in self.session.names.items() if isinstance(v, int)]
            if known and rng.random() < 0.55:
                return rng.choice(known) + rng.choice(("", "", "+4K", "+1M", "-1", "*2"))
            return rng.choice(NUMBERS)
        if kind in ("process", "space"):
            known = [n for n, v in self.session.names.items() if isinstance(v, Process)]
            return rng.choice(known) if known and rng.random() < 0.95 else "kernel"
        if kind == "data":
            return rng.choice(('"hello"', "hex:00ff", rng.choice(NUMBERS)))
        return rng.choice(WORDS.get(name, ("f", "/init")))


@pytest.mark.parametrize("machine", ["arm64", "arm", "arm-highmem"])
def test_a_command_works_or_says_why_not(machine, say) -> None:
    outside = Outside(lambda words: booted(machine), lambda k, f: None, KERNEL_VIEWS, PROCESS_VIEWS)
    session = Session(outside)
    writer = Writer(session, random.Random(machine))
    worked = 0
    for number in range(1, COMMANDS + 1):
        text = writer.line()
        try:
            line = parse_line(text, "fuzz", number)
            assert line is not None
            session.check([line])
            session.step(line)
            worked += 1
        except (BadScenario, StepFailed, NotAsExpected) as error:
            assert str(error).startswith(f"fuzz:{number}:"), text
            assert "\n" not in str(error)
    say(f"{machine}: {COMMANDS} commands, {worked} of them worked")
    assert worked > COMMANDS // 8
    for process in list(session.kernel.processes.values()):
        process.exit()
    session.step(parse_line("p = spawn", "fuzz", 1))
