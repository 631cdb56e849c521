"""What a kernel says of itself, from RAM alone: its symbols, types and configuration."""

import pytest
from figures import hold

from ttbr.kernel.config import Config


def test_symbols_equal_kallsyms(machine, linux, figure):
    """Every name, letter, address and module of /proc/kallsyms, in its order."""
    wanted = []
    for line in machine.text("kallsyms.txt").splitlines():
        symbol, _, module = line.partition("\t")
        address, kind, name = symbol.split(" ", 2)
        wanted.append((int(address, 16), kind, name, module.strip("[]")))
    symbols = linux.symbols
    modules = [symbols.modules[row] if row >= 0 else "" for row in symbols.module.tolist()]
    found = list(zip(symbols.address.tolist(), symbols.types, symbols.names, modules, strict=True))
    equal = sum(a == b for a, b in zip(found, wanted, strict=False))
    assert found == wanted
    figure("kallsyms", len(wanted), equal, note=symbols.source)
    hold({(machine.case, "symbols"): symbols.source.split(", ")[1]})


def test_configuration_built_in(machine, linux, say):
    """All options of kernels with CONFIG_IKCONFIG; nothing for others."""
    wanted = Config.from_text(machine.text("config"))
    built_in = wanted.get("IKCONFIG") == "y"
    text = f"{len(wanted)} options" if built_in else "none"
    hold({(machine.case, "configuration"): text})
    if not built_in:
        assert linux.built_in_config is None
        return
    found = linux.config
    assert found is not None
    assert dict(found) == dict(wanted)
    say(f"{machine.case}: built-in configuration, compared {len(wanted)}, equal {len(found)}")


def test_types_of_the_kernel(machine, linux, say):
    """Where the kernel has BTF: sizes and offsets as its own compiler has them."""
    config = Config.from_text(machine.text("config"))
    if config.get("DEBUG_INFO_BTF") != "y":
        assert linux.btf is None
        return
    btf, expected = linux.btf, machine.expected
    assert btf is not None
    sizes = {name: btf.size(name) for name in expected["struct_sizes"]}
    assert sizes == expected["struct_sizes"]
    offsets = {}
    for name in expected["struct_offsets"]:
        member = btf.member(*name.split(".", 1))
        offsets[name] = None if member is None else member.offset
    assert offsets == expected["struct_offsets"]
    say(f"{machine.case}: {len(sizes)} sizes and {len(offsets)} offsets by BTF, all equal")


def test_recordings_that_have_btf(truth):
    """The comparison above has something to compare."""
    having = [
        case for case in truth.cases() if "CONFIG_DEBUG_INFO_BTF=y" in truth.text(case, "config")
    ]
    assert having or pytest.fail("no recording has BTF")
