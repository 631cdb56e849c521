"""Commands that processes carry out: system calls and memory accesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.errors import InputError
from ttbr.kernel.vm_flags import Madvise, Map, Prot
from ttbr.run.scenario.command import Arguments, Command, Result, command, not_negative

if TYPE_CHECKING:
    from ttbr.run.scenario.session import Session

LETTERS = {"r": Prot.READ, "w": Prot.WRITE, "x": Prot.EXEC}
ADVICE = {advice.name.lower(): advice for advice in Madvise}
LONGEST_ACCESS = 1 << 24  # bytes of one load or store


def _protection(given: Arguments, name: str) -> Prot:
    """``rwx``, ``r-x``, ``none``."""
    text = given.text(name)
    if text == "none":
        return Prot.NONE
    if not text or set(text) - {*LETTERS, "-"}:
        raise given.line.error(given.words[name], f"'{text}' is no protection such as rw- or none")
    found = Prot.NONE
    for letter in text.replace("-", ""):
        found |= LETTERS[letter]
    return found


def _spawn(session: Session, given: Arguments) -> Result:
    pid = given.number("pid") if "pid" in given else None
    seed = given.number("seed") if "seed" in given else None
    name = given.text("name") if "name" in given else "/init"
    process = session.kernel.spawn(name=name, pid=pid, seed=seed)
    if "run" in given.flags:
        session.kernel.user.switch_to(process)
    return process


def _exec(session: Session, given: Arguments) -> Result:
    process = given.process("process")
    process.exec(session.kernel.user.program(given.text("program")))
    return None


def _fork(session: Session, given: Arguments) -> Result:
    pid = given.number("pid") if "pid" in given else None
    return given.process("process").fork(pid=pid)


def _exit(session: Session, given: Arguments) -> Result:
    given.process("process").exit()
    return None


def _mmap(session: Session, given: Arguments) -> Result:
    process = given.process("process")
    flags = Map.SHARED if "shared" in given.flags else Map.PRIVATE
    hint = 0
    if "at" in given:
        hint = not_negative(given.number("at"), "an address")
        flags |= Map.FIXED if "fixed" in given.flags else Map(0)
    if "noreserve" in given.flags:
        flags |= Map.NORESERVE
    file = session.kernel.user.file(given.text("file")) if "file" in given else None
    prot = _protection(given, "prot") if "prot" in given else Prot.READ | Prot.WRITE
    return process.mmap(
        not_negative(given.number("size"), "a size"),
        prot,
        flags,
        hint=hint,
        file=file,
        offset=given.number("offset", 0),
        huge_size=given.number("huge", 0),
    )


def _mmap_device(session: Session, given: Arguments) -> Result:
    process = given.process("process")
    prot = _protection(given, "prot") if "prot" in given else Prot.READ
    return process.mmap_device(given.number("physical"), given.number("size"), prot)


def _munmap(session: Session, given: Arguments) -> Result:
    given.process("process").munmap(given.number("address"), given.number("size"))
    return None


def _mprotect(session: Session, given: Arguments) -> Result:
    prot = _protection(given, "protection")
    given.process("process").mprotect(given.number("address"), given.number("size"), prot)
    return None


def _madvise(session: Session, given: Arguments) -> Result:
    advice = ADVICE[given.choice("advice", ADVICE)]
    given.process("process").madvise(given.number("address"), given.number("size"), advice)
    return None


def _sbrk(session: Session, given: Arguments) -> Result:
    return given.process("process").sbrk(given.number("size"))


def _file(session: Session, given: Arguments) -> Result:
    size = not_negative(given.number("size"), "a size")
    disk = "disk" in given.flags
    session.kernel.user.file(given.text("name"), size, tracks_dirty=disk)
    return None


def _store(session: Session, given: Arguments) -> Result:
    data = given.data("data", session.word)
    given.process("process").store(given.number("address"), data)
    return None


def _load(session: Session, given: Arguments) -> Result:
    data = given.process("process").load(given.number("address"), _length(given, session.word))
    return session.loaded(data)


def _fetch(session: Session, given: Arguments) -> Result:
    return session.loaded(given.process("process").fetch(given.number("address")))


def _touch(session: Session, given: Arguments) -> Result:
    size = not_negative(given.number("size"), "a size")
    write = "read" not in given.flags
    return given.process("process").touch(given.number("address"), size, write=write)


def _walk(session: Session, given: Arguments) -> Result:
    """Load a byte every ``step`` bytes, through the TLB."""
    process, start = given.process("process"), given.number("address")
    step = given.number("step", session.kernel.page_size)
    if step <= 0:
        raise InputError(f"a step of {step} bytes leads nowhere")
    for _ in range(given.number("rounds", 1)):
        for at in range(start, start + given.number("size"), step):
            process.load(at)
    return None


def _length(given: Arguments, default: int) -> int:
    size = given.number("size", default)
    if not 0 < size <= LONGEST_ACCESS:
        raise InputError(f"an access of {size} bytes: 1 to {LONGEST_ACCESS} are possible")
    return size


COMMANDS: tuple[Command, ...] = (
    command(
        _spawn,
        "spawn",
        "A new process; run: the CPU switches to it.",
        options="name:word pid:number seed:number",
        flags="run",
    ),
    command(_exec, "exec process:process program:word", "Run another program in a process."),
    command(_fork, "fork process:process", "A child, with a copy.", options="pid:number"),
    command(_exit, "exit process:process", "End a process."),
    command(
        _mmap,
        "mmap process:process size:number",
        "Map memory; its address. huge=2M: from a pool of huge pages.",
        options="prot:word at:number file:word offset:number huge:number",
        flags="shared fixed noreserve",
    ),
    command(
        _mmap_device,
        "mmap_device process:process physical:number size:number",
        "Map a device (/dev/mem); its address.",
        options="prot:word",
    ),
    command(_munmap, "munmap process:process address:number size:number", "Take a mapping away."),
    command(
        _mprotect,
        "mprotect process:process address:number size:number protection:word",
        "Another protection: rw-, r-x, none …",
    ),
    command(
        _madvise,
        "madvise process:process address:number size:number advice:word",
        f"Advice: {', '.join(ADVICE)}.",
    ),
    command(_sbrk, "sbrk process:process size:number", "A longer heap; its old end."),
    command(_file, "file name:word size:number", "A file to map, on tmpfs.", flags="disk"),
    command(_store, "store process:process address:number data:data", "Write to memory."),
    command(
        _load,
        "load process:process address:number size:number?",
        "Read memory; its first bytes as a number.",
    ),
    command(_fetch, "fetch process:process address:number", "Fetch an instruction."),
    command(
        _touch,
        "touch process:process address:number size:number",
        "Bring pages in, without TLBs; how many were missing.",
        flags="read",
    ),
    command(
        _walk,
        "read process:process address:number size:number",
        "Read a byte of each page (or step) through the TLB.",
        options="step:number rounds:number",
    ),
)
