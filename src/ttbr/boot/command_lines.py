"""setup_command_line() and what parse_args() leaves for init: copies, and what nobody knows.

Source: init/main.c: setup_boot_config, setup_command_line, unknown_bootoption,
print_unknown_bootoptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.memblock import BootPanic
from ttbr.kernel.parameters import known

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

START = "start_kernel"
BOOTCONFIG_MOST = 32 * 1024 - 1  # XBC_DATA_MAX, bytes
INIT = ("init", "rdinit")  # they forget the arguments before them


def setup_command_line(machine: Machine) -> None:
    """The command line twice: one to show, one to be cut up."""
    if _boot_config(machine):
        machine.unknowns.append(
            "the boot configuration at the end of the initrd: its kernel keys make both copies of "
            f"the command line longer, by less than {BOOTCONFIG_MOST} bytes each"
        )
    memblock = machine.memblock
    size = len(machine.params.text.encode("latin-1", "replace")) + 1
    function = machine.kernel.caller("setup_command_line", START)
    for _ in range(2):
        if not memblock.alloc_try_nid(size, memblock.cache_line, function):
            raise BootPanic(
                f"the kernel panics: 'setup_command_line: Failed to allocate {size} bytes'"
            )


def _boot_config(machine: Machine) -> bool:
    """Whether the kernel reads a boot configuration out of the initrd."""
    config = machine.kernel.config
    if not config.enabled("BOOT_CONFIG") or machine.initrd is None:
        return False
    return machine.params.given("bootconfig") or config.enabled("BOOT_CONFIG_FORCE")


def unknown_options(machine: Machine) -> list[str]:
    """What goes to init: arguments without a value first, then those with one."""
    symbols = machine.kernel.symbols
    most = machine.kernel.config.integer("INIT_ENV_ARG_LIMIT", 32)
    plain: list[str] = []
    environment = {"HOME": "HOME=/", "TERM": "TERM=linux"}
    for name, value in machine.params.arguments:
        if name in INIT and value is not None:
            plain.clear()
        elif known(symbols, name, value):
            continue
        elif value is None:
            plain.append(name)
        else:
            environment[name] = f"{name}={value}"
        if len(plain) >= most or len(environment) > most:
            return []  # the kernel panics over them, but later
    return [*plain, *list(environment.values())[2:]]


def print_unknown_bootoptions(machine: Machine) -> None:
    """The line about them, put together in memory that is given back at once."""
    found = unknown_options(machine)
    if not found:
        return
    memblock = machine.memblock
    size = 1 + sum(1 + len(text.encode("latin-1", "replace")) for text in found)
    function = machine.kernel.caller("print_unknown_bootoptions", START)
    place = memblock.alloc_try_nid(size, memblock.cache_line, function)
    if not place:
        machine.log.say(f"print_unknown_bootoptions: Failed to allocate {size} bytes")
        return
    machine.log.say(
        f'Unknown kernel command line parameters "{" ".join(found)}", will be passed to user space.'
    )
    memblock.free(place, size, machine.kernel.caller("print_unknown_bootoptions", START, tail=1))
