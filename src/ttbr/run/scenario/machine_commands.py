"""Commands about the machine as a whole, and about the scenario itself."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ttbr.errors import InputError, TtbrError
from ttbr.run.cpu.core_text import FORM, parse_tlbs
from ttbr.run.cpu.cores import TLBS
from ttbr.run.scenario.command import Arguments, Command, Result, command
from ttbr.run.scenario.errors import BadScenario, NotAsExpected
from ttbr.run.scenario.language import Line, Word
from ttbr.run.scenario.questions import QUESTIONS

if TYPE_CHECKING:
    from ttbr.run.scenario.session import Session

MOST_REPEATS = 1 << 20
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }
)


def _boot(session: Session, given: Arguments) -> Result:
    session.boot([word.text for word in given.rest])
    return None


def _tlb(session: Session, given: Arguments) -> Result:
    session.start(parse_tlbs(given.text("core")))
    return None


def _cpu(session: Session, given: Arguments) -> Result:
    number = given.number("number")
    session.kernel.cpus.select(number)
    session.kernel.user.current = None
    return None


def _switch(session: Session, given: Arguments) -> Result:
    process = given.space("process")
    if process is None:
        session.kernel.cpus.switch_to(None)
    else:
        process.mm  # noqa: B018 - a process that has exited cannot run
        session.kernel.user.switch_to(process)
    return None


def _show(session: Session, given: Arguments) -> Result:
    name = given.text("view")
    process = given.process("process") if "process" in given else None
    session.show(given.line, given.words["view"], name, process)
    return None


def _save(session: Session, given: Arguments) -> Result:
    session.save_to(given.text("file"))
    return None


def _expect(session: Session, given: Arguments) -> Result:
    sign = given.choice("operator", OPERATORS)
    left, right = (given.value_of(given.words[name]) for name in ("left", "right"))
    try:
        holds = OPERATORS[sign](left, right)
    except TypeError:
        raise given.line.error(given.words["operator"], "these cannot be compared") from None
    if not holds:
        raise NotAsExpected(
            f"expected {given.text('left')} {sign} {given.text('right')}, but the left side is "
            f"{_spoken(left)} and the right one {_spoken(right)}"
        )
    return None


def _spoken(value: object) -> str:
    return f"{value} ({value:#x})" if isinstance(value, int) else "a process"


def _fails(session: Session, given: Arguments) -> Result:
    words = _behind_text(given.rest)
    wanted = given.rest[0].text if len(words) < len(given.rest) else ""
    line = given.line
    inner = Line(line.source, line.number, line.text, words, line.target)
    try:
        session.execute(inner)
    except (BadScenario, NotAsExpected):
        raise
    except TtbrError as error:
        if wanted not in str(error):
            raise NotAsExpected(f"failed in another way than with {wanted!r}: {error}") from error
        session.say(f"failed as expected: {error}")
        return None
    raise NotAsExpected("the command was expected to fail, and did not")


def _behind_text(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """What follows a text in quotes, if there is one."""
    return words[1:] if words and words[0].quoted else words


def _repeat(session: Session, given: Arguments) -> Result:
    times = given.value_of(given.rest[0])
    if not isinstance(times, int) or not 0 < times <= MOST_REPEATS:
        raise given.line.error(given.rest[0], f"repeat: 1 to {MOST_REPEATS} times")
    line = given.line
    inner = Line(line.source, line.number, line.text, given.rest[1:])
    found: Result = None
    for _ in range(times):
        found = session.execute(inner)
    return found


def _say(session: Session, given: Arguments) -> Result:
    session.say(" ".join(word.text for word in given.rest))
    return None


def _reset(session: Session, given: Arguments) -> Result:
    counts = session.kernel.cpu.tlb
    counts.counts = type(counts.counts)()
    return None


def _help(session: Session, given: Arguments) -> Result:
    name = given.text("command") if "command" in given else ""
    known = session.commands
    if name and name not in known:
        raise InputError(f"no command '{name}'")
    for each in [known[name]] if name else known.values():
        session.say(f"{each.usage}\n    {each.help}")
    if not name:
        session.say("In numbers: names, + - * / %, suffixes K M G T, and questions:")
        for title, asked in QUESTIONS.items():
            session.say(f"{title}({', '.join(asked.arguments)})\n    {asked.help}")
    return None


COMMANDS: tuple[Command, ...] = (
    command(_boot, "boot options:words", "Start a machine anew: BOARD.dtb and options of 'boot'."),
    command(
        _tlb,
        "tlb core:word",
        f"Other TLBs, right after the boot, as {FORM}. Cores: {', '.join(TLBS)}.",
    ),
    command(_reset, "reset_counts", "Count TLB hits and walks from here on."),
    command(_cpu, "cpu number:number", "Let another CPU run."),
    command(_switch, "switch process:space", "Let a process run, or a kernel thread (kernel)."),
    command(_show, "show view:word process:process?", "Print a view, such as one of /proc."),
    command(_save, "save file:word", "Write an ELF core that all other commands read."),
    command(
        _expect,
        "expect left:number operator:word right:number",
        "End with exit code 1 unless this holds.",
    ),
    command(
        _fails,
        "fails command:words",
        "A command that has to fail; with 'TEXT' before it, for that reason.",
        inner=_behind_text,
    ),
    command(
        _repeat,
        "repeat command:words",
        "TIMES COMMAND: a command so many times; the last result.",
        inner=lambda words: words[1:],
    ),
    command(_say, "say text:words", "Print a text."),
    command(_help, "help command:word?", "All commands, or one."),
)
