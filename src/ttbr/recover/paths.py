"""The paths of files, as d_path gives them (fs/d_path.c), from struct file in memory."""

from dataclasses import dataclass

from ttbr.recover.layouts import Layouts
from ttbr.recover.virtual_memory import VirtualMemory

_DEEPEST = 256  # names of a path, and mounts that it crosses
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class FileName:
    """A file's ``path``, its device number (major << 20 | minor) and inode; None if unknown."""

    path: str | None
    device: int | None
    inode: int | None


class Paths:
    """Names of files; each is read once."""

    def __init__(self, kernel: VirtualMemory, layouts: Layouts) -> None:
        self._kernel = kernel
        self._known: dict[int, FileName] = {}
        offset = layouts.offset
        self._mnt = offset("file", "f_path.mnt")
        self._dentry = offset("file", "f_path.dentry")
        self._d_parent = offset("dentry", "d_parent")
        self._d_name = offset("dentry", "d_name.name")
        self._d_length = offset("dentry", "d_name.len")
        self._d_inode = offset("dentry", "d_inode")
        self._d_pprev = offset("dentry", "d_hash.pprev")
        self._mnt_root = offset("vfsmount", "mnt_root")
        self._mnt_sb = offset("vfsmount", "mnt_sb")
        self._mount = offset("mount", "mnt")
        self._mnt_parent = offset("mount", "mnt_parent")
        self._mountpoint = offset("mount", "mnt_mountpoint")
        self._s_dev = offset("super_block", "s_dev")
        self._i_ino = offset("inode", "i_ino")

    def of(self, file: int) -> FileName:
        """What is known of the file at an address."""
        if file not in self._known:
            self._known[file] = self._read(file)
        return self._known[file]

    def _at(self, base: int | None, offset: int | None, size: int = 0) -> int | None:
        if base is None or offset is None:
            return None
        return self._kernel.number(base + offset, size)

    def _read(self, file: int) -> FileName:
        mnt, dentry = self._at(file, self._mnt), self._at(file, self._dentry)
        device = self._at(self._at(mnt, self._mnt_sb), self._s_dev, 4)
        inode = self._at(self._at(dentry, self._d_inode), self._i_ino)
        if mnt is None or dentry is None:
            return FileName(None, device, inode)
        return FileName(self._path(mnt, dentry), device, inode)

    def _name(self, dentry: int) -> str | None:
        length = self._at(dentry, self._d_length, 4)
        name = self._at(dentry, self._d_name)
        if length is None or name is None or not 0 < length <= _LONGEST_NAME:
            return None
        data = self._kernel.try_read(name, length)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def _path(self, mnt: int, dentry: int) -> str | None:
        start = dentry
        if self._d_parent is None or self._mnt_root is None:
            return None
        parts: list[str] = []
        for _ in range(_DEEPEST):
            parent = self._at(dentry, self._d_parent)
            root = self._at(mnt, self._mnt_root)
            if parent is None or root is None:
                return None
            if dentry not in (root, parent):
                name = self._name(dentry)
                if name is None:
                    return None
                parts.append(name)
                dentry = parent
                continue
            if dentry != root:
                # No part of any tree: simple_dname, as shared memory has it
                name = self._name(dentry)
                return None if name is None or parts else f"/{name} (deleted)"
            above = self._above(mnt)
            if above is None:
                break
            mnt, dentry = above
        path = "/" + "/".join(reversed(parts))
        hashed = self._at(start, self._d_pprev)
        unlinked = hashed == 0 and self._at(start, self._d_parent) != start
        return f"{path} (deleted)" if unlinked else path

    def _above(self, mnt: int) -> tuple[int, int] | None:
        """Where a mount hangs: (the mount above, the dentry there); None at the top."""
        if self._mount is None:
            return None
        mount = mnt - self._mount
        parent, point = self._at(mount, self._mnt_parent), self._at(mount, self._mountpoint)
        if parent is None or point is None or parent == mount:
            return None
        return parent + self._mount, point
