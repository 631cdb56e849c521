"""The scenario language: lines, numbers, commands, and what goes wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines_up import booted

from ttbr.errors import InputError, TtbrError
from ttbr.report.running import KERNEL_VIEWS, PROCESS_VIEWS
from ttbr.run.scenario import BadScenario, NotAsExpected, Outside, Session, StepFailed, parse


@pytest.fixture(params=("arm64", "arm", "arm-highmem"))
def session(request):
    return made(request.param)


def made(name: str) -> Session:
    def boot(words):
        return booted(words[0] if words else name)

    return Session(Outside(boot, lambda kernel, file: None, KERNEL_VIEWS, PROCESS_VIEWS))


def play(session: Session, text: str) -> list:
    lines = parse(text, "play")
    session.check(lines)
    return [session.step(line) for line in lines]


def test_words_quotes_comments_and_names() -> None:
    (line,) = parse("\n  # nothing\n  a = mmap p 4K+2*1M prot=r-x # why\n\n", "s")
    assert (line.number, line.target.text, line.target.column) == (3, "a", 3)
    assert [word.text for word in line.words] == ["mmap", "p", "4K+2*1M", "prot=r-x"]
    (line,) = parse("""store p 'a b' "#c" d#e""", "s")
    assert [(w.text, w.quoted) for w in line.words[2:]] == [
        ("a b", True),
        ("#c", True),
        ("d#e", False),
    ]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("spwan", 1, "unknown command 'spwan' (did you mean 'spawn'?)"),
        ("xyzzy", 1, "unknown command 'xyzzy' ('help' lists them)"),
        ("spawn\nmmap 4M", 8, "size is missing"),
        ("vmalloc 4Q", 9, "'4Q' is not a number"),
        ("vmalloc 0x", 9, "is not a number"),
        ("vmalloc 4K 5K", 12, "'5K' is too much"),
        ("vmalloc 4K colour=red", 12, "vmalloc has no option 'colour'"),
        ("mmap kernel 4K at=1 at=2", 21, "option 'at' is there twice"),
        ("vfree nothing", 7, "there is no 'nothing' (yet)"),
        ("vfree 1+nothing", 9, "there is no 'nothing' (yet)"),
        ("vfree VmPTE(1,2)", 7, "'VmPTE' has 1 arguments, not 2"),
        ("vfree nobody()", 7, "there is no question 'nobody'"),
        ("vfree (1", 9, "a number is missing"),
        ("vfree 1)", 8, "')' is too much"),
        ("vfree 1+", 9, "a number is missing"),
        ("vfree é", 7, "is no number"),
        ("say 'open", 5, "a quote is not closed"),
        ("1a = spawn", 1, "'1a' cannot be a name"),
        ("a =", 4, "a command is missing behind '='"),
        ("fails", 6, "a command is missing"),
        ("fails 'why'", 12, "a command is missing"),
        ("fails vfree nothing", 13, "there is no 'nothing' (yet)"),
        ("x" * 70000, 1, "the line has more than"),
        ("vfree " + "(" * 100, 7, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text, column, message) -> None:
    session = made("arm64")
    with pytest.raises(BadScenario) as caught:
        play(session, text)
    assert message in str(caught.value)
    line = text.count("\n") + 1
    assert str(caught.value).startswith(f"play:{line}:{column}: ")
    assert not session._kernel, "nothing has run"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text) -> None:
    session = made("arm64")
    try:
        session.check(parse(text, "any"))
    except BadScenario as error:
        assert error.line >= 1 and error.column >= 1


def test_results_have_names_and_numbers_are_reckoned(session) -> None:
    play(session, "p = spawn\na = mmap p 64K\nb = a+3*4K-2*(1K+1K)\nc = b%10/2")
    names = session.names
    assert names["b"] == names["a"] + 2 * 4096
    assert names["c"] == names["b"] % 10 // 2
    with pytest.raises(BadScenario, match="a division by 0"):
        play(session, "d = a/0")
    with pytest.raises(BadScenario, match="a process is no number"):
        play(session, "d = p+1")
    with pytest.raises(BadScenario, match="has no result to name"):
        play(session, "d = vfree a\n".replace("vfree a", "purge"))


def test_a_story(session) -> None:
    steps = play(
        session,
        """
        p = spawn
        a = mmap p 64K
        store p a "hello"
        x = load p a 5
        c = fork p
        expect pa(c,a) == pa(p,a)
        store c a+8 hex:00ff
        expect pa(c,a) != pa(p,a)
        expect refcount(pfn(p,a)) >= 1
        v = vmalloc 16K
        kstore v 7
        y = kload v
        expect y == 7
        show status p
        show meminfo
        exit c
        exit p
        fails "has exited" mmap p 4K
        """,
    )
    by_command = {step.line.words[0].text: step for step in steps}
    assert by_command["load"].output == ("68 65 6c 6c 6f",)
    assert any(event.kind == "fault" for event in by_command["store"].events)
    assert any("VmPTE" in line for line in by_command["show"].output) or session
    assert "failed as expected" in by_command["fails"].output[0]
    assert not session.kernel.cpus.violations


def test_failures_say_why_and_leave_the_model_as_it_was(session) -> None:
    play(session, "p = spawn\na = mmap p 1M")
    kernel = session.kernel
    free, areas = kernel.pages.free, len(session.names["p"].mm.vmas)
    most = kernel.pages.free * kernel.page_size
    for text, why in (
        (f"vmalloc {most}", ""),
        ("alloc_pages 99", "blocks have orders 0 to"),
        ("free_pages 12345678", "no allocation of order 0"),
        ("kmap 99999999999", "is no memory"),
        ("munmap p a+1 4K", "EINVAL"),
        ("mmap p 0", "EINVAL"),
        ("mmap p 0-5", "a size cannot be"),
        ("vfree 4096", "nonexistent vm area"),
        ("ioremap pa(p,a) 4K", "is not mapped"),
        ("kload 16", "at 0x10"),
        ("entry 0 0 1", "outside"),
        ("madvise p a 4K often", "is not one of"),
        ("show nothing", "no view 'nothing'"),
        ("show maps", "of which process?"),
        ("expect a < p", "cannot be compared"),
        ("mmap p 4K prot=rq", "'rq' is no protection"),
        ("switch 5", "is no process"),
        ("store p a hex:zz", "is no hexadecimal"),
        ("load p a 100M", "an access of"),
        ("cpu 77", "there is no CPU 77"),
        ("tlb Cortex-A53", "goes before them"),
        ("tlb Z80", "'Z80' is not one of"),
    ):
        with pytest.raises((StepFailed, BadScenario)) as caught:
            play(session, text)
        assert why in str(caught.value), text
        assert str(caught.value).startswith("play:1:")
    assert len(session.names["p"].mm.vmas) == areas
    assert free - kernel.pages.free <= 600, "tables and kept roots at most"
    play(session, "store p a 1\nexpect mapped(p,a) == 1")


def test_out_of_memory_is_reported_in_linux_words() -> None:
    session = made("arm64")
    play(session, "p = spawn\nhold = vmalloc free()*4K-128M\nb = mmap p 256M noreserve")
    with pytest.raises(StepFailed, match="out of memory") as caught:
        play(session, "touch p b 256M")
    assert "invoked oom-killer" in caught.value.report[0]
    assert any(line.startswith("Mem-Info") for line in caught.value.report)
    play(session, "exit p\nq = spawn\nc = mmap q 4K\nstore q c 1")


def test_expectations() -> None:
    session = made("arm64")
    play(session, "expect 1 < 2\nexpect 2*2 == 4")
    with pytest.raises(NotAsExpected, match="play:1: expected 1 == 2, but the left side is 1"):
        play(session, "expect 1 == 2")
    with pytest.raises(NotAsExpected, match="expected to fail, and did not"):
        play(session, "fails vmalloc 4K")
    with pytest.raises(NotAsExpected, match="failed in another way"):
        play(session, "fails 'blue moon' vfree 1")


def test_a_new_boot_forgets_the_names() -> None:
    session = made("arm64")
    play(session, "tlb Cortex-A53\np = spawn\nboot arm")
    assert session.kernel.arch == "arm" and not session.names
    with pytest.raises(BadScenario, match="no 'p'"):
        play(session, "exit p")


def test_every_command_is_explained(session) -> None:
    (step,) = play(session, "help")
    text = "\n".join(step.output)
    for command in session.commands.values():
        assert command.usage in text and command.help
    with pytest.raises(TtbrError, match="no command 'nothing'"):
        play(session, "help nothing")
    with pytest.raises(InputError):
        play(session, "save")


def test_every_view_can_be_shown(session) -> None:
    play(
        session, "p = spawn\na = mmap p 64K\nstore p a 1\nv = vmalloc 4K\nx = ioremap 0x9000000 4K"
    )
    for view in KERNEL_VIEWS:
        (step,) = play(session, f"show {view}")
        assert step.output or view in ("violations", "fixmap", "kmap", "assumptions")
    shown = {}
    for view in PROCESS_VIEWS:
        (step,) = play(session, f"show {view} p")
        shown[view] = step.output
    start = session.names["a"]
    assert any(line.startswith(f"{start:08x}-{start + 0x10000:08x} rw-p") for line in shown["maps"])
    (entry,) = [line for line in shown["pagemap"] if line.startswith(f"{start:#x} ")]
    assert int(entry.split()[2], 16) >> 56 == 0x81, "present and exclusive"
    block = shown["smaps"].index(next(x for x in shown["smaps"] if x.startswith(f"{start:08x}-")))
    lines = (line.partition(":") for line in shown["smaps"][block + 1 : block + 20])
    figures = {name: value.strip() for name, _, value in lines}
    assert figures["Size"] == "64 kB"
    assert figures["Rss"] == figures["Private_Dirty"] == figures["Anonymous"]
    assert "VmPTE" in "".join(shown["status"])
