"""A Linux kernel that is not running: what the forward model has to know of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from ttbr.errors import InputError
from ttbr.kernel.config import Config
from ttbr.kernel.facts import OPTIONS, STRUCTS, SYMBOLS
from ttbr.kernel.image_header import Arm64Header, ZImageHeader, read_header
from ttbr.kernel.release import Release
from ttbr.kernel.symbols import Symbols
from ttbr.kernel.textfile import read_text
from ttbr.kernel.types import Types

PROFILE_LIMIT = 1 << 20  # bytes
PROFILE_VERSION = 1
LARGEST_STRUCT = 1 << 24  # bytes; of many nodes, struct pglist_data is the largest by far
DEFAULT_PROFILES = {"arm64": "debian-6.1-arm64", "arm": "debian-6.1-armmp"}
"""The profile that stands in for a kernel that nobody named, by architecture."""


@dataclass(frozen=True)
class Kernel:
    """A kernel: its release, configuration and link-time addresses.

    ``arch`` is ``arm64`` or ``arm``. ``image_size`` is the memory in bytes that the kernel takes
    from ``_text`` on, BSS included. ``text_offset`` is where ``_text`` wants to be, in bytes: on
    arm64 from a 2 MiB boundary, on arm from the start of RAM as the kernel sees it (PHYS_OFFSET).
    ``file_size`` is the size in bytes of the file that a loader copies, where it is known (an
    arm zImage). ``source`` says where all this comes from, ``assumptions`` what of it is not known.
    ``sizes``: bytes of structures that the kernel's own types state; others are computed from its
    configuration (`ttbr.kernel.structs`).
    """

    arch: str
    release: Release
    config: Config
    symbols: Symbols
    name: str
    text_offset: int
    image_size: int
    flags: int = 0
    file_size: int | None = None
    source: str = field(default="", compare=False)
    assumptions: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_files(
        cls, config: str | Path, system_map: str | Path, image: str | Path | None = None
    ) -> Kernel:
        """Read a kernel from the files of its build or its package.

        Args:
            config: ``.config``, plain or packed; its heading gives the release.
            system_map: ``System.map``, plain or packed.
            image: ``Image`` or ``zImage``, for its header.

        Raises:
            InputError: a file cannot be used, or they are not of one kernel.
        """
        options = Config.from_file(config)
        if options.release is None:
            raise InputError(
                f"{config}: no heading '# Linux/… Kernel Configuration', so no kernel release"
            )
        header = None if image is None else read_header(image)
        release = Release.parse(options.release)
        return cls._made(
            name=f"{options.architecture}-{release}",
            release=release,
            config=options,
            symbols=Symbols.from_file(system_map),
            header=header,
            source=f"{Path(config).name}, {Path(system_map).name}"
            + ("" if image is None else f", {Path(image).name}"),
        )

    @classmethod
    def from_profile(cls, name: str | Path) -> Kernel:
        """Read a profile that ships with ttbr, by its name, or one in a JSON file.

        `InputError` if there is none; the text names the known ones.
        """
        text = str(name)
        if text in profile_names():
            shipped = resources.files(__package__) / "profiles" / f"{text}.json"
            return cls.from_description(json.loads(shipped.read_text("utf-8")), text)
        if not Path(text).is_file():
            raise InputError(
                f"no kernel profile '{text}': known are {', '.join(profile_names())}, "
                "and files made by 'ttbr kernel describe'"
            )
        try:
            described = json.loads(read_text(text, PROFILE_LIMIT))
        except ValueError as error:
            raise InputError(f"{text}: not JSON ({error})") from error
        return cls.from_description(described, text)

    @classmethod
    def from_description(cls, described: object, name: str) -> Kernel:
        """The kernel that `describe` described; `InputError` naming what is wrong with it."""
        profile = _Profile(described, name)
        if profile.integer("ttbr-kernel") != PROFILE_VERSION:
            raise InputError(f"{name}: not a kernel profile of version {PROFILE_VERSION}")
        options = profile.strings("config")
        unset = frozenset(OPTIONS)
        made = cls._made(
            name=profile.string("name"),
            release=Release.parse(profile.string("release")),
            config=Config(
                options,
                architecture=profile.string("arch"),
                release=profile.string("release"),
                known=unset,
            ),
            symbols=Symbols(profile.addresses("symbols")),
            header=None,
            flags=profile.integer("flags"),
            file_size=profile.integer("file_size") or None,
            source=profile.string("source"),
        )
        return replace(made, sizes=profile.sizes("sizes"))

    def with_types(self, types: Types) -> Kernel:
        """The kernel with the sizes of structures that its debugging information states."""
        found = {name: types.size(name) for name in STRUCTS}
        return replace(self, sizes={name: size for name, size in found.items() if size})

    @classmethod
    def _made(
        cls,
        *,
        name: str,
        release: Release,
        config: Config,
        symbols: Symbols,
        header: Arm64Header | ZImageHeader | None,
        source: str,
        flags: int = 0,
        file_size: int | None = None,
    ) -> Kernel:
        arch = _architecture(config, name)
        missing = [symbol for symbol in ("_text", "_end") if symbol not in symbols]
        if missing:
            raise InputError(f"{source}: the System.map has no {' and no '.join(missing)}")
        size = symbols["_end"] - symbols["_text"]
        if size <= 0:
            raise InputError(f"{source}: _end is not above _text")
        text_offset = 0
        if arch == "arm":
            text_offset = symbols["_text"] - config.integer("PAGE_OFFSET", symbols["_text"])
            if isinstance(header, Arm64Header):
                raise InputError(
                    f"{source}: an arm64 Image with the configuration of an arm kernel"
                )
            file_size = header.size if header else file_size
        elif isinstance(header, ZImageHeader):
            raise InputError(f"{source}: an arm zImage with the configuration of an arm64 kernel")
        elif header is not None:
            text_offset, flags = header.text_offset, header.flags
            if header.image_size != size:
                raise InputError(
                    f"{source}: the Image takes {header.image_size:#x} bytes, but in the "
                    f"System.map _end - _text is {size:#x}: they are not of one kernel"
                )
        return cls(
            arch, release, config, symbols, name, text_offset, size, flags, file_size, source
        )

    def describe(self) -> dict[str, Any]:
        """A profile of the kernel, as JSON: only the facts of `ttbr.kernel.facts`."""
        symbols = self.symbols.matching(SYMBOLS)
        sizes = {"sizes": dict(self.sizes)} if self.sizes else {}
        return {
            "ttbr-kernel": PROFILE_VERSION,
            "name": self.name,
            "arch": self.arch,
            "release": str(self.release),
            "source": self.source,
            "flags": self.flags,
            "file_size": self.file_size or 0,
            "symbols": {name: " ".join(map(hex, at)) for name, at in symbols.items()},
            "config": self.config.kept(OPTIONS),
            **sizes,
        }

    def caller(self, *chain: str, tail: int = 0) -> str:
        """The function that the return address of a call belongs to, as the kernel prints it.

        The compiler puts static functions into their callers: what is left has a symbol. It also
        makes a call at the very end of a function a jump, unless frame pointers are asked for.

        Args:
            chain: who calls whom, the innermost first; the last one certainly exists.
            tail: so many functions at the beginning of the chain make the call at their end.
        """
        jumps = 0 if self.config.enabled("FRAME_POINTER") else tail
        real = [name for name in chain[jumps:-1] if name in self.symbols]
        return real[0] if real else chain[-1]

    def inlined(self, callee: str, caller: str) -> bool:
        """Whether the compiler put a global function into another one of the same file.

        The System.map tells it by their sizes: the code that the caller has more than its own.
        """
        symbols = self.symbols
        if callee not in symbols or caller not in symbols:
            return False
        return symbols.size(caller) >= symbols.size(callee)

    @cached_property
    def page_size(self) -> int:
        """Bytes of a page of this kernel."""
        for option, size in (("ARM64_16K_PAGES", 16384), ("ARM64_64K_PAGES", 65536)):
            if self.arch == "arm64" and self.config.enabled(option):
                return size
        return 4096

    @property
    def phys_bits(self) -> int:
        """Width of the kernel's phys_addr_t: 64, but 32 on arm without LPAE."""
        return 32 if self.arch == "arm" and not self.config.enabled("ARM_LPAE") else 64

    def pa(self, address: int) -> str:
        """A physical address as the kernel's ``%pa`` prints it: all digits of its phys_addr_t."""
        return f"{address & ((1 << self.phys_bits) - 1):#0{2 + self.phys_bits // 4}x}"

    def __str__(self) -> str:
        return f"{self.name} (Linux {self.release}, {self.arch})"


def profile_names() -> list[str]:
    """The names of the profiles that ship with ttbr, sorted."""
    folder = resources.files(__package__) / "profiles"
    return sorted(
        entry.name.removesuffix(".json")
        for entry in folder.iterdir()
        if entry.name.endswith(".json")
    )


def _architecture(config: Config, name: str) -> str:
    if config.architecture in DEFAULT_PROFILES:
        return str(config.architecture)
    for arch, option in (("arm64", "ARM64"), ("arm", "ARM")):
        if config.enabled(option):
            return arch
    raise InputError(f"{name}: the configuration is of neither an arm nor an arm64 kernel")


class _Profile:
    """The JSON of a profile, with one clear error for whatever is not as it should be."""

    def __init__(self, data: object, name: str) -> None:
        if not isinstance(data, Mapping):
            raise InputError(f"{name}: not a kernel profile (a JSON object)")
        self._data = data
        self._name = name

    def _get(self, key: str, kind: type) -> Any:
        value = self._data.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{self._name}: not a kernel profile: '{key}' is missing or wrong")
        return value

    def string(self, key: str) -> str:
        return str(self._get(key, str))

    def integer(self, key: str) -> int:
        return int(self._get(key, int))

    def strings(self, key: str) -> dict[str, str]:
        return {str(name): str(value) for name, value in self._get(key, Mapping).items()}

    def sizes(self, key: str) -> dict[str, int]:
        """Sizes by name; a profile need not have any."""
        found = self._data.get(key, {})
        if not isinstance(found, Mapping) or not all(
            type(size) is int and 0 < size < LARGEST_STRUCT for size in found.values()
        ):
            raise InputError(f"{self._name}: not a kernel profile: '{key}' has something wrong")
        return {str(name): size for name, size in found.items()}

    def addresses(self, key: str) -> list[tuple[str, int]]:
        try:
            return [
                (name, int(address, 16))
                for name, addresses in self.strings(key).items()
                for address in addresses.split()
            ]
        except ValueError as error:
            raise InputError(f"{self._name}: '{key}' has something that is no address") from error
