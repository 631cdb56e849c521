"""Queries that can be stopped: by Ctrl-C, or because they have taken too long.

DuckDB works outside Python, where no signal reaches it: it works in a thread, and whoever waits for
that tells it to stop.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ttbr.errors import InputError

_STEP = 0.05  # seconds between two tries to stop a query: one that only begins misses the first


class Interruptible:
    """Calls of a DuckDB ``connection``, which together may take so many ``seconds``; None: any."""

    def __init__(self, connection: Any, seconds: float | None = None) -> None:
        self._connection = connection
        self._most = seconds
        self._left = seconds
        self._thread = ThreadPoolExecutor(1, "query")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns; `InputError` when the time is up."""
        began = time.monotonic()
        done = self._thread.submit(function, *arguments)
        try:
            return done.result(self._left)
        except TimeoutError:
            raise InputError(f"the query took longer than {self._most:g} s") from None
        finally:
            while not done.done():
                self._connection.interrupt()
                wait([done], _STEP)
            if self._left is not None:
                self._left = max(0.0, self._left - (time.monotonic() - began))
