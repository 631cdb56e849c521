"""A scenario on its way: a running kernel, names for results, one command after the other."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ttbr.boot.boot import Boot
from ttbr.errors import InputError, TtbrError
from ttbr.run.cpu.cores import CoreTlbs
from ttbr.run.events import RunEvent
from ttbr.run.kernel import RunningKernel, run
from ttbr.run.mm.process import Process
from ttbr.run.oom import OutOfMemory
from ttbr.run.scenario import kernel_commands, machine_commands, process_commands
from ttbr.run.scenario.command import KERNEL, Arguments, Command, Result, Value, bind, check_words
from ttbr.run.scenario.command import check_word as check_expression
from ttbr.run.scenario.errors import BadScenario, NotAsExpected, StepFailed
from ttbr.run.scenario.language import Line, Word, invocation
from ttbr.run.scenario.questions import QUESTIONS

MOST_NAMES = 1 << 16

KernelView = Callable[[RunningKernel], list[str]]
ProcessView = Callable[[RunningKernel, Process], list[str]]


@dataclass(frozen=True, slots=True)
class Outside:
    """What a scenario needs of who runs it.

    ``boot``: a boot from words such as ``ttbr boot`` takes them. ``save``: write an image of the
    kernel to a file. ``kernel_views``, ``process_views``: what ``show`` can print.
    """

    boot: Callable[[list[str]], Boot]
    save: Callable[[RunningKernel, str], None]
    kernel_views: Mapping[str, KernelView] = field(default_factory=dict)
    process_views: Mapping[str, ProcessView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A command that was carried out: its result, the kernel's events, what it printed."""

    line: Line
    result: Result
    events: tuple[RunEvent, ...]
    output: tuple[str, ...]


class Session:
    """Runs commands, see `step`. ``names``: the results that have one."""

    commands: Mapping[str, Command] = {
        each.name: each
        for module in (machine_commands, process_commands, kernel_commands)
        for each in module.COMMANDS
    }

    def __init__(self, outside: Outside) -> None:
        self.names: dict[str, Value] = {}
        self._outside = outside
        self._boot: Boot | None = None
        self._kernel: RunningKernel | None = None
        self._questions = _Asked(self)
        self._output: list[str] = []
        self._seen: set[str] = set()
        self._seen_from = 0

    @property
    def kernel(self) -> RunningKernel:
        """The kernel that runs; booted now if no ``boot`` was there."""
        if self._kernel is None:
            self.boot([])
        assert self._kernel is not None
        return self._kernel

    @property
    def word(self) -> int:
        """Bytes of a word of the machine."""
        return 8 if self.kernel.arch == "arm64" else 4

    def check(self, lines: list[Line]) -> None:
        """Read all commands without running any; `BadScenario` for the first that cannot be run."""
        names = {KERNEL, *self.names}
        for line in lines:
            self._check(line, line.words, names)
            if line.target is not None:
                names.add(line.target.text)

    def step(self, line: Line) -> Step:
        """Carry out one command.

        `BadScenario` if it cannot be read, `NotAsExpected`, or `StepFailed`; the kernel is as it
        was before then, but for what the failed call itself leaves behind in Linux, too.
        """
        self._output = []
        before = self._kernel
        self._seen_from = len(before.log) if before is not None else 0
        try:
            result = self.execute(line)
        except OutOfMemory as error:
            report = tuple(error.lines(self._who()))
            raise StepFailed(line.source, line.number, error, report) from error
        except (BadScenario, NotAsExpected) as error:
            if isinstance(error, NotAsExpected):
                text = f"{line.source}:{line.number}: {error}"
                raise NotAsExpected(text) from error
            raise
        except TtbrError as error:
            raise StepFailed(line.source, line.number, error) from error
        self._look_for_missing_syncs()
        return Step(line, result, self.events(), tuple(self._output))

    def events(self) -> tuple[RunEvent, ...]:
        """What has happened since the last command began."""
        return () if self._kernel is None else tuple(self._kernel.log.since(self._seen_from))

    def execute(self, line: Line) -> Result:
        """Carry out a command, and give its result the name that it is to have."""
        self._check(line, line.words, {KERNEL, *self.names})
        if self._is_expression(line):
            value: Result = self._evaluate(line)
        else:
            found = self.commands[line.words[0].text]
            value = found.run(self, self._bound(line, line.words))
        if line.target is not None:
            if value is None:
                raise line.error(line.target, f"'{line.words[0].text}' has no result to name")
            if len(self.names) >= MOST_NAMES:
                raise InputError(f"more than {MOST_NAMES} names")
            self.names[line.target.text] = value
        return value

    # What commands do to the session

    def boot(self, options: list[str]) -> None:
        """Boot a machine; names of the last one are forgotten."""
        self._boot = self._outside.boot(options)
        self._kernel = None
        self.start(None)

    def start(self, tlbs: CoreTlbs | None) -> None:
        """Let the booted kernel run from its beginning, with these TLBs."""
        if self._boot is None:
            self.boot([])
        assert self._boot is not None
        if self._kernel is not None and any(self.names):
            raise InputError("other TLBs need a machine without processes: 'tlb' goes before them")
        self._kernel = run(self._boot, tlbs=tlbs)
        self._seen_from = 0
        self.names.clear()

    def say(self, text: str) -> None:
        """Print lines."""
        self._output += text.splitlines()

    def loaded(self, data: bytes) -> int:
        """Show what was read; its first bytes as a number."""
        self.say(f"{data[:64].hex(' ')}{' …' if len(data) > 64 else ''}")
        return int.from_bytes(data[: self.word], "little")

    def show(self, line: Line, word: Word, name: str, process: Process | None) -> None:
        """Print a view of the kernel or of a process."""
        outside = self._outside
        if name in outside.process_views and process is not None:
            self._output += outside.process_views[name](self.kernel, process)
        elif name in outside.kernel_views and process is None:
            self._output += outside.kernel_views[name](self.kernel)
        elif name in outside.process_views:
            raise line.error(None, f"show {name}: of which process?")
        else:
            known = ", ".join([*outside.kernel_views, *(f"{v} P" for v in outside.process_views)])
            raise line.error(word, f"no view '{name}': known are {known}")

    def save_to(self, file: str) -> None:
        """Write an image of the kernel."""
        self._outside.save(self.kernel, file)
        self.say(f"saved: {file}")

    # Reading lines

    def _check(self, line: Line, words: tuple[Word, ...], names: set[str]) -> None:
        if self._is_expression(line):
            check_expression(line, words[0], names, self._questions)
            return
        name = words[0]
        found = self.commands.get(name.text)
        if found is None or name.quoted:
            close = difflib.get_close_matches(name.text, self.commands, 1)
            hint = f" (did you mean '{close[0]}'?)" if close else " ('help' lists them)"
            raise line.error(name, f"unknown command '{name.text}'{hint}")
        arguments = self._bound(line, words)
        check_words(arguments, names)
        if found.inner is not None:
            inner = found.inner(arguments.rest)
            if not inner:
                raise line.error(None, f"{found.name}: a command is missing")
            self._check(Line(line.source, line.number, line.text, inner), inner, names)

    def _bound(self, line: Line, words: tuple[Word, ...]) -> Arguments:
        found = self.commands[words[0].text]
        if any(parameter.kind == "words" for parameter in found.parameters):
            given = invocation(Line(line.source, line.number, line.text, words[:1]), words[:1], ())
            bound = bind(line, given, found, self._values, self._questions)
            rest = words[1:]
            return Arguments(
                line, found, bound.words, rest, frozenset(), self._values, self._questions
            )
        given = invocation(line, words, tuple(found.options))
        return bind(line, given, found, self._values, self._questions)

    def _is_expression(self, line: Line) -> bool:
        """``NAME = EXPRESSION``: one word that is no command."""
        return (
            line.target is not None
            and len(line.words) == 1
            and line.words[0].text not in self.commands
        )

    def _evaluate(self, line: Line) -> Value:
        arguments = Arguments(
            line, self.commands["say"], {}, (), frozenset(), self._values, self._questions
        )
        value = arguments.value_of(line.words[0])
        assert isinstance(value, int | Process)
        return value

    @property
    def _values(self) -> dict[str, Value]:
        """What names stand for, ``kernel`` among them."""
        return {**self.names, KERNEL: 0}

    def _who(self) -> str:
        """The name of the process that runs, for the kernel's reports."""
        if self._kernel is None or self._kernel.user.current is None:
            return "swapper/0"
        return self._kernel.user.current.name

    def _look_for_missing_syncs(self) -> None:
        """An event for each first-level entry that a process should have (arm)."""
        if self._kernel is None:
            return
        for found in self._kernel.space.missing_syncs():
            if str(found) not in self._seen:
                self._seen.add(str(found))
                self._kernel.log.add("violation", "vmalloc sync", str(found), found.va, found.va)


class _Asked:
    """The questions, asked of the kernel that runs then."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def arguments(self, name: str) -> int | None:
        found = QUESTIONS.get(name)
        return None if found is None else len(found.arguments)

    def ask(self, name: str, arguments: Sequence[object]) -> int:
        numbers = ("va", "pfn")
        for title, value in zip(QUESTIONS[name].arguments, arguments, strict=True):
            if title in numbers and not isinstance(value, int):
                raise InputError(f"{name}: {title} is a number, not a process")
        return QUESTIONS[name].answer(self._session.kernel, *arguments)
