"""User entries: protections as Linux defines them, and the pte_*() functions' laws."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.kernel.arm64_prot import OutputAddress
from ttbr.kernel.arm64_user import arm64_user_entries
from ttbr.kernel.arm_prot import LPAE, SHORT, Memory
from ttbr.kernel.arm_user import arm_user_entries
from ttbr.kernel.release import Release
from ttbr.kernel.user_entries import many
from ttbr.kernel.vm_flags import Vm

PLAIN = OutputAddress(field=(1 << 48) - (1 << 12), high_shift=0)
LPA2 = OutputAddress(field=(1 << 50) - (1 << 12) | 0x300, high_shift=42)


def arm64(release="6.12.117", *, output=PLAIN, lpa2=False, execute_only=False):
    return arm64_user_entries(
        Release.parse(release), 12, output, lpa2=lpa2, execute_only=execute_only
    )


def arm(bits=SHORT, **changes):
    facts = {"policy": Memory.WRITEALLOC, "shared": True, "user_domain": 1, "pxn": True}
    return arm_user_entries(bits, **(facts | {"v6": False} | changes))


KINDS = {
    "6.1": arm64("6.1.192"),
    "6.12": arm64(),
    "lpa2": arm64(output=LPA2, lpa2=True),
    "short": arm(),
    "lpae": arm(LPAE),
}
FLAGS = st.integers(0, 15).map(Vm)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.mark.parametrize(
    ("name", "flags", "entry"),
    [
        ("6.12", Vm.READ | Vm.WRITE, 0x0060_0000_0000_0FC3),
        ("6.12", Vm.READ | Vm.WRITE | Vm.SHARED, 0x0068_0000_0000_0FC3),
        ("6.12", Vm.READ | Vm.EXEC, 0x0020_0000_0000_0FC3),
        ("6.12", Vm.EXEC, 0x0020_0000_0000_0FC3),
        ("6.12", Vm.NONE, 0x0060_0000_0000_0F82),
        ("6.1", Vm.NONE, 0x0460_0000_0000_0F82),
        ("lpa2", Vm.READ, 0x0060_0000_0000_0CC3),
        ("short", Vm.READ | Vm.WRITE, 0x79F),
        ("short", Vm.READ | Vm.WRITE | Vm.SHARED, 0x71F),
        ("short", Vm.NONE, 0xE9F),
        ("lpae", Vm.READ | Vm.WRITE, 0x0460_0000_0000_075F),
    ],
)
def test_protections(name, flags, entry):
    """The values by hand, from the bits of pgtable-prot.h, pgtable-2level.h and -3level.h."""
    assert hex(KINDS[name].page_prot(flags)) == hex(entry)


def test_execute_only_needs_enhanced_pan():
    assert arm64(execute_only=True).page_prot(Vm.EXEC) == 0x0020_0000_0000_0F83
    assert arm64(execute_only=True).page_prot(Vm.EXEC | Vm.READ) == 0x0020_0000_0000_0FC3


def test_guarded_pages():
    assert arm64().page_prot(Vm.EXEC | Vm.ARM64_BTI) >> 50 & 1


def test_what_the_hardware_sees_of_a_short_entry():
    entries = KINDS["short"]
    prot = entries.page_prot(Vm.READ | Vm.WRITE)
    clean = entries.make(0x4567_8000, prot)
    assert entries.stored(clean) == 0x4567_8000 | 0xE7F  # read-only, execute-never, not global
    written = entries.mkwrite(entries.mkdirty(clean))
    assert entries.stored(written) == 0x4567_8000 | 0xC7F
    assert entries.stored(entries.mkold(written)) == 0
    assert entries.stored(entries.modify(written, entries.page_prot(Vm.NONE))) == 0


def test_lpae_computes_ap2_and_ng():
    entries = KINDS["lpae"]
    clean = entries.make(0x1_4567_8000, entries.page_prot(Vm.READ | Vm.WRITE))
    assert entries.stored(clean) == clean | 1 << 11 | 1 << 7
    written = entries.mkwrite(entries.mkdirty(clean))
    assert entries.stored(written) == written | 1 << 11
    none = entries.modify(entries.stored(written), entries.page_prot(Vm.NONE))
    assert not entries.stored(none) & 1
    assert entries.present(entries.stored(none))


def test_wrprotect_keeps_what_the_hardware_knows():
    """A page that only AP[2] calls dirty (the CPU cleared it) stays dirty when protected."""
    entries = KINDS["6.12"]
    shared = entries.page_prot(Vm.READ | Vm.WRITE | Vm.SHARED)
    assert not entries.dirty(shared)
    written = shared & ~(1 << 7)
    assert entries.dirty(written)
    protected = entries.wrprotect(written)
    assert entries.dirty(protected)
    assert not entries.write(protected)
    assert protected >> 7 & 1


@given(flags=FLAGS, page=st.integers(1, (1 << 20) - 1))
def test_an_entry_names_its_page(flags, page):
    for entries in KINDS.values():
        made = entries.make(page << 12, entries.page_prot(flags))
        assert entries.address(made) == page << 12
        assert entries.present(made)
        assert entries.present(entries.stored(made)) or entries is KINDS["short"]


@given(
    flags=FLAGS,
    then=FLAGS,
    marks=st.lists(
        st.sampled_from(["mkwrite", "mkdirty", "mkclean", "mkyoung", "mkold", "wrprotect"]),
        max_size=4,
    ),
)
def test_another_protection_keeps_young_and_dirty(flags, then, marks):
    for entries in KINDS.values():
        entry = entries.make(0x4000_0000, entries.page_prot(flags))
        for mark in marks:
            entry = getattr(entries, mark)(entry)
        changed = entries.modify(entry, entries.page_prot(then))
        assert bool(entries.young(changed)) == bool(entries.young(entry))
        assert bool(entries.dirty(changed)) == bool(entries.dirty(entry))
        assert entries.address(changed) == entries.address(entry)


@given(st.lists(st.tuples(FLAGS, st.integers(0, (1 << 20) - 1)), min_size=1, max_size=20))
def test_arrays_are_changed_like_single_entries(rows):
    for entries in KINDS.values():
        one = [entries.make(page << 12, entries.page_prot(flags)) for flags, page in rows]
        all_of_them = np.array(one, np.uint64)
        for name in (
            *("mkwrite", "mkdirty", "mkclean", "mkyoung", "mkold", "wrprotect", "mkspecial"),
            *("mkcont", "mknoncont", "mkhuge", "present", "dirty", "young", "write", "special"),
            *("address", "cont"),
        ):
            change = getattr(entries, name)
            assert many(change, all_of_them).tolist() == [change(entry) for entry in one], name
        assert entries.stored_many(all_of_them).tolist() == [entries.stored(e) for e in one]
        change = partial(entries.modify, prot=entries.page_prot(Vm.READ))
        assert many(change, all_of_them).tolist() == [change(entry) for entry in one]
