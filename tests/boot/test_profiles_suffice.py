"""What the model asks of a configuration is what a profile keeps."""

import re
from pathlib import Path

import ttbr
from ttbr.boot.earlycon import DRIVERS
from ttbr.kernel.arm_machines import MACHINES
from ttbr.kernel.facts import OPTIONS

ASKED = re.compile(r'config\.(?:enabled|built_in|integer|get)\(\s*"([A-Z0-9_]+)"')


def test_every_option_asked_for_by_name_is_kept() -> None:
    source = Path(ttbr.__file__).parent
    asked = {
        (option, path.name)
        for path in source.rglob("*.py")
        for option in ASKED.findall(path.read_text("utf-8"))
    }
    assert len(asked) > 30
    assert not {(option, name) for option, name in asked if option not in OPTIONS}


def test_so_are_those_of_the_tables() -> None:
    options = {driver.option for driver in DRIVERS}
    for machine in MACHINES:
        options |= {*machine.config, *machine.dma_zone_needs}
    assert options <= set(OPTIONS)
