"""The layouts that a kernel's data show, each found when it is first asked for.

They build on each other: tasks lead to mms, mms to areas, areas to files.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import TranslationRegime
from ttbr.recover.cred_layout import find_cred_layout
from ttbr.recover.layouts import Recovered
from ttbr.recover.mm_layout import MmLayout, find_mm_layout
from ttbr.recover.path_layout import find_path_layout
from ttbr.recover.task_layout import TaskLayout, find_task_layout
from ttbr.recover.virtual_memory import VirtualMemory
from ttbr.recover.vma_layout import find_vma_layout

_BY_PATH = ("file", "dentry", "vfsmount", "mount", "super_block", "inode")


class RecoveredLayouts:
    """Layouts out of one kernel's memory.

    ``init_task``: its address if a symbol tells it; ``names``: where it can have its name.
    ``user``: the regime of processes. ``asid_generation``: that variable's value, if known.
    """

    def __init__(
        self,
        kernel: VirtualMemory,
        user: TranslationRegime,
        page_size: int,
        names: list[int],
        init_task: int | None,
        asid_generation: int | None,
    ) -> None:
        self._kernel = kernel
        self._user = user
        self._page_size = page_size
        self._names = names
        self._init_task = init_task
        self._asid_generation = asid_generation

    def of(self, struct: str) -> Recovered:
        """The members of a structure that were found; empty for one that is not looked for."""
        match struct:
            case "task_struct":
                return {} if self.tasks is None else self.tasks.offsets
            case "signal_struct":
                return {} if self.tasks is None else self.tasks.signal
            case "cred":
                return self._cred
            case "mm_struct":
                return {} if self._mms is None else self._mms.mm
            case "maple_tree":
                return {} if self._mms is None else self._mms.tree
            case "vm_area_struct":
                return self._vmas
            case _ if struct in _BY_PATH:
                return self._paths.get(struct, {})
            case _:
                return {}

    @cached_property
    def tasks(self) -> TaskLayout | None:
        """init_task and the layout of tasks; None where nothing shows them."""
        return find_task_layout(self._kernel, self._init_task, self._names)

    @cached_property
    def _cred(self) -> Recovered:
        cred = None if self.tasks is None else self.tasks.offsets.get("cred")
        if self.tasks is None or cred is None:
            return {}
        at = self._kernel.number(self.tasks.init_task + cred.value)
        return find_cred_layout(self._kernel, at) if at else {}

    @cached_property
    def _owners(self) -> NDArray[np.uint64]:
        """The mms of processes."""
        mm = None if self.tasks is None else self.tasks.offsets.get("mm")
        if self.tasks is None or mm is None:
            return np.zeros(0, np.uint64)
        mms, _ = self._kernel.words(self.tasks.leaders + np.uint64(mm.value), 1, self._kernel.word)
        return np.unique(mms[mms != 0])

    @cached_property
    def _mms(self) -> MmLayout | None:
        return find_mm_layout(
            self._kernel, self._owners, self._user, self._asid_generation, self._page_size
        )

    @cached_property
    def _vmas(self) -> Recovered:
        if self._mms is None:
            return {}
        return find_vma_layout(self._kernel, self._owners, self._mms.areas, self._page_size)

    @cached_property
    def _paths(self) -> Mapping[str, Recovered]:
        file = self._vmas.get("vm_file")
        if file is None or self._mms is None:
            return {}
        areas = self._mms.areas.value
        files, _ = self._kernel.words(areas + np.uint64(file.value), 1, self._kernel.word)
        return find_path_layout(self._kernel, files[:, 0])
