"""The images that are open: a thread for each, the one that was used longest ago is closed."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ttbr.web.answers import Answers
from ttbr.web.library import Entry, Library

MOST_OPEN = 4
MOST_WAITING = 16
"""Requests for one image at a time; more are told to come again."""

T = TypeVar("T")


class Busy(Exception):
    """Too many requests wait for one image."""


class _Open:
    """An image with its thread; ``version``: of its files when it was opened."""

    def __init__(self, entry: Entry) -> None:
        self.answers = Answers(entry)
        self.version = entry.version()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="image")
        self.turn = asyncio.Lock()
        self.waiting = 0


class Shelf:
    """Answers questions about images of a library, one at a time for each image."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._running = asyncio.Semaphore(MOST_OPEN)

    async def ask(self, name: str, question: Callable[[Answers], T]) -> T:
        """What ``question`` answers in the image's thread.

        `NoSuchImage` if there is none of that name, `Busy` if too many wait; else what it raises.
        """
        found = self._opened(await asyncio.to_thread(self.library.find, name))
        if found.waiting >= MOST_WAITING:
            raise Busy
        found.waiting += 1
        try:
            # First the image's turn: who waits for one image keeps nobody from another
            async with found.turn, self._running:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(found.thread, question, found.answers)
        finally:
            found.waiting -= 1

    def close(self) -> None:
        """Let all threads end when they are done."""
        while self._open:
            self._open.popitem()[1].thread.shutdown(wait=False, cancel_futures=True)

    def _opened(self, entry: Entry) -> _Open:
        held = self._open.get(entry.name)
        if held is None or held.version != entry.version():
            if held is not None:
                held.thread.shutdown(wait=False)
            held = self._open[entry.name] = _Open(entry)
        self._open.move_to_end(entry.name)
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].thread.shutdown(wait=False)
        return held
