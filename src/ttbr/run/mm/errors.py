"""System calls that fail."""

from __future__ import annotations

from ttbr.errors import TtbrError


class SyscallError(TtbrError):
    """A system call that the kernel refuses; ``errno`` is its name, such as ``ENOMEM``."""

    def __init__(self, call: str, errno: str, why: str) -> None:
        super().__init__(f"{call}: {errno}: {why}")
        self.call = call
        self.errno = errno
