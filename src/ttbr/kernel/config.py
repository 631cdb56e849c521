"""A kernel's configuration: CONFIG_ options and their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import overload

from ttbr.errors import InputError, TtbrError
from ttbr.kernel.textfile import read_text

LIMIT = 16 << 20  # bytes; Debian's, the longest around, have 0.3 MiB
_PREFIX = "CONFIG_"
_HEADER = re.compile(r"^# Linux/(\S+) (\d\S*) Kernel Configuration", re.MULTILINE)
_SET = re.compile(r"^CONFIG_(\w+)=(.*)$", re.MULTILINE)
_UNSET = re.compile(r"^# CONFIG_(\w+) is not set$", re.MULTILINE)


class OptionNotKept(TtbrError):
    """A question about an option that the profile at hand says nothing of."""

    def __init__(self, option: str) -> None:
        super().__init__(
            f"the kernel profile says nothing about {_PREFIX}{option}: use --config with the "
            "kernel's own configuration"
        )


class Config(Mapping[str, str]):
    """The options that are set; names with or without ``CONFIG_``, values as in the file.

    Strings have lost their quotes. ``architecture`` and ``release`` are the ones of the file's
    heading (``# Linux/arm64 6.1.176 Kernel Configuration``), which gives the true sublevel where a
    distribution's release name hides it; None without a heading. ``known`` names the options that
    the source could have told of (None: all), and every other question is an `OptionNotKept`.
    """

    def __init__(
        self,
        options: Mapping[str, str],
        *,
        architecture: str | None = None,
        release: str | None = None,
        known: Iterable[str] | None = None,
    ) -> None:
        self._options = {name.removeprefix(_PREFIX): value for name, value in options.items()}
        self._known = None if known is None else frozenset(known) | self._options.keys()
        self.architecture = architecture
        self.release = release

    @classmethod
    def from_text(cls, text: str) -> Config:
        """Read the text of a ``.config``; `InputError` if it holds no option at all."""
        options = {name: _unquoted(value) for name, value in _SET.findall(text)}
        if not options and _UNSET.search(text) is None:
            raise InputError("the configuration has no line like CONFIG_MMU=y")
        heading = _HEADER.search(text)
        architecture, release = heading.groups() if heading else (None, None)
        return cls(options, architecture=architecture, release=release)

    @classmethod
    def from_file(cls, path: str | Path) -> Config:
        """Read a ``.config`` file, plain, gzip or zstd; `InputError` naming the file."""
        try:
            return cls.from_text(read_text(path, LIMIT))
        except InputError as error:
            raise InputError(_about(path, error)) from error

    def enabled(self, option: str) -> bool:
        """Whether a yes/no option is ``y`` or ``m``."""
        return self.get(option) in ("y", "m")

    def built_in(self, option: str) -> bool:
        """Whether a yes/no option is ``y``."""
        return self.get(option) == "y"

    @overload
    def integer(self, option: str) -> int | None: ...
    @overload
    def integer(self, option: str, default: int) -> int: ...
    def integer(self, option: str, default: int | None = None) -> int | None:
        """The value of a numeric option (decimal or 0x…), or the default if it is not set.

        `InputError` if its value is no number.
        """
        text = self.get(option)
        if text is None:
            return default
        try:
            return int(text, 0)
        except ValueError:
            name = _PREFIX + option.removeprefix(_PREFIX)
            raise InputError(
                f"the kernel configuration has {name}={text!r}, which is no number"
            ) from None

    def kept(self, options: Iterable[str]) -> dict[str, str]:
        """The options of the list that are set, in the order of the list."""
        return {name: self._options[name] for name in options if name in self._options}

    def changed(self, changes: Mapping[str, str | None]) -> Config:
        """The configuration with other values; None takes an option away."""
        options = self._options | {k: v for k, v in changes.items() if v is not None}
        return Config(
            {name: value for name, value in options.items() if changes.get(name, "") is not None},
            architecture=self.architecture,
            release=self.release,
            known=None if self._known is None else self._known | changes.keys(),
        )

    def __getitem__(self, option: str) -> str:
        name = option.removeprefix(_PREFIX)
        if self._known is not None and name not in self._known:
            raise OptionNotKept(name)
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _about(path: str | Path, error: InputError) -> str:
    text = str(error)
    return text if text.startswith(str(path)) else f"{path}: {text}"
