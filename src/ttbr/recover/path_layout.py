"""The layouts by which a file has a path, recovered from the files that areas map.

What is taken for granted: the length beside a name is the name's (``qstr``); short names lie in the
dentry itself; the parents of a dentry end at one that is its own; and the order of a few members:
{mnt, dentry} in ``path``; {d_hash, d_parent, d_name, d_inode} in ``dentry``; {mnt_parent,
mnt_mountpoint, mnt} in ``mount`` with {mnt_root, mnt_sb} in ``vfsmount``; {i_sb, i_mapping,
i_security if there is any, i_ino} in ``inode``; s_dev behind s_list in ``super_block``.
"""

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.layouts import Recovered
from ttbr.recover.virtual_memory import VirtualMemory

_FILE, _DENTRY, _INODE = 384, 256, 256  # bytes that are looked at
_MOST_COMPARED = 256
_LONGEST_NAME = 255
_DEEPEST = 64

Layout = dict[str, Finding[int]]


def find_path_layout(kernel: VirtualMemory, files: NDArray[np.uint64]) -> dict[str, Recovered]:
    """The offsets found, by structure; empty without files.

    ``files``: struct files, such as the areas' vm_file.
    """
    files = np.unique(files[files != 0])[:_MOST_COMPARED]
    rows, present = kernel.records(files, _FILE)
    words = rows[present].view(f"<u{kernel.word}").astype(np.uint64)
    if not len(words):
        return {}
    word = kernel.word
    for column in range(1, words.shape[1]):
        dentries = words[:, column]
        if (dentries == 0).any() or (dentries % np.uint64(word)).any():
            continue
        dentry = _dentry(kernel, dentries)
        if dentry is None:
            continue
        mounts, there = kernel.words(words[:, column - 1], 2, word)
        if not there.all():
            continue
        text = f"{len(words)} files lead to dentries with names of the right length"
        found: dict[str, Recovered] = {
            "file": {
                "f_path.mnt": certain((column - 1) * word, text),
                "f_path.dentry": certain(column * word, text),
            },
            "dentry": dentry,
        }
        found |= _mount(mounts[:, 0], kernel, dentry)
        found["inode"] = _inode(kernel, dentries, dentry, mounts[:, 1])
        return found
    return {}


def _dentry(kernel: VirtualMemory, dentries: NDArray[np.uint64]) -> Layout | None:
    word = kernel.word
    rows, present = kernel.records(dentries, _DENTRY)
    if not present.all():
        return None
    words = rows.view(f"<u{word}").astype(np.uint64)
    halves = rows.view("<u4")
    inside = (words > dentries[:, None]) & (words < dentries[:, None] + np.uint64(_DENTRY))
    for column in range(3, words.shape[1] - 1):
        if not inside[:, column].any():
            continue  # no name is short: then this is not where they are
        length = halves[:, column * word // 4 - 1]
        if not ((length > 0) & (length <= _LONGEST_NAME)).all():
            continue
        texts = zip(words[:, column].tolist(), length.tolist(), strict=True)
        names = [kernel.try_read(at, size + 1) for at, size in texts]
        if not all(n is not None and n.find(b"\0") == len(n) - 1 for n in names):
            continue
        name = column * word - 8
        # A qstr is aligned to 8 bytes, and as long as 16: there can be a gap before it.
        places = (name - word, name - 2 * word)
        parent = next((at for at in places if _has_root(kernel, int(dentries[0]), at)), None)
        if parent is None:
            continue
        text = f"{len(words)} names have the length beside them; their parents end at a root"
        return {
            "d_name": certain(name, text),
            "d_name.name": certain(name + 8, text),
            "d_name.len": certain(name + 4, text),
            "d_parent": certain(parent, text),
            "d_hash.pprev": likely(parent - word, "d_hash lies before d_parent"),
            "d_inode": likely(name + 16, "it follows the name"),
        }
    return None


def _has_root(kernel: VirtualMemory, dentry: int, parent: int) -> bool:
    for _ in range(_DEEPEST):
        above = kernel.number(dentry + parent)
        if above is None or above == 0:
            return False
        if above == dentry:
            return True
        dentry = above
    return False


def _mount(
    roots: NDArray[np.uint64], kernel: VirtualMemory, dentry: Layout
) -> dict[str, Recovered]:
    """vfsmount and mount, if what should be mnt_root are roots."""
    word = kernel.word
    parents, there = kernel.words(roots + np.uint64(dentry["d_parent"].value), 1, word)
    if not there.all() or not (parents[:, 0] == roots).all():
        return {}
    text = "its first word is a root; the rest in the order of fs/mount.h"
    return {
        "vfsmount": {"mnt_root": certain(0, text), "mnt_sb": likely(word, text)},
        "mount": {
            "mnt_parent": likely(2 * word, text),
            "mnt_mountpoint": likely(3 * word, text),
            "mnt": likely(4 * word, text),
        },
        "super_block": {"s_dev": likely(2 * word, "it follows the list s_list")},
    }


def _inode(
    kernel: VirtualMemory,
    dentries: NDArray[np.uint64],
    dentry: Layout,
    supers: NDArray[np.uint64],
) -> Layout:
    word = kernel.word
    inodes, there = kernel.words(dentries + np.uint64(dentry["d_inode"].value), 1, word)
    rows, present = kernel.records(inodes[:, 0], _INODE)
    if not there.all() or not present.all():
        return {}
    words = rows.view(f"<u{word}").astype(np.uint64)
    columns = np.flatnonzero((words == supers[:, None]).all(axis=0)).tolist()
    if not columns or columns[0] + 3 >= words.shape[1]:
        return {}
    at = columns[0]
    behind = words[:, at + 2]
    _, left = kernel.locate(behind)
    # i_security is a pointer where there is one; an inode number is neither that nor 0
    security = bool((left > 0).all() or (behind == 0).all())
    text = f"the super blocks of {len(words)} inodes; then i_mapping" + ", i_security" * security
    return {"i_sb": certain(at * word, text), "i_ino": likely((at + 2 + security) * word, text)}
