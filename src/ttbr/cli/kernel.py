"""``ttbr kernel``: kernel profiles."""

import json
from pathlib import Path

import click

from ttbr.cli.boards import FILE
from ttbr.cli.output import console, json_option, print_json
from ttbr.kernel.debug_info import open_types
from ttbr.kernel.kernel import Kernel, profile_names


@click.group("kernel")
def kernel_group() -> None:
    """Kernel profiles: what the forward model needs to know of a kernel, in a few KiB."""


@kernel_group.command(
    "describe",
    short_help="Make a profile from a kernel's own files.",
    epilog="""\b
Example:
  ttbr kernel describe --config /boot/config-6.1 --system-map /boot/System.map-6.1 -o mine.json
  ttbr boot board.dtb --kernel mine.json""",
)
@click.option("--config", type=FILE, required=True, help="The kernel's .config.")
@click.option("--system-map", type=FILE, required=True, help="The kernel's System.map.")
@click.option("--image", type=FILE, help="Image or zImage, for its header.")
@click.option(
    "--debug-info",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="vmlinux or /sys/kernel/btf/vmlinux, for the sizes of structures; by default they are "
    "computed from the configuration.",
)
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="The profile (default: standard output).",
)
def describe_command(
    config: Path,
    system_map: Path,
    image: Path | None,
    debug_info: Path | None,
    output: Path | None,
) -> None:
    """Write a profile: configuration facts and section addresses, as JSON."""
    kernel = Kernel.from_files(config, system_map, image)
    if debug_info is not None:
        kernel = kernel.with_types(open_types(debug_info, 8 if kernel.arch == "arm64" else 4))
    text = json.dumps(kernel.describe(), indent=1) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text)


@kernel_group.command("list", short_help="The profiles that ship with ttbr.")
@json_option
def list_command(as_json: bool) -> None:
    """List the profiles that --kernel knows by name."""
    kernels = [Kernel.from_profile(name) for name in profile_names()]
    if as_json:
        print_json([{"name": k.name, "arch": k.arch, "release": str(k.release)} for k in kernels])
        return
    out = console()
    for kernel in kernels:
        out.print(f"{kernel.name:24} {kernel.arch:6} {kernel.release}")
