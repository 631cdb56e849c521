"""The kernel's sort (lib/sort.c), which is not stable: what is equal gets an order of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def heapsort(items: list[T], key: Callable[[T], Any]) -> None:
    """Sort in place as ``sort`` does, so that equal items end up in the same order as there.

    A bottom-up heapsort: the path of the larger children is followed to a leaf, and the item goes
    to the lowest place on that path where it is not below the one found there.
    """
    heap = len(items) // 2  # items from here on are heaps already
    size = len(items)
    if not heap:
        return
    while True:
        if heap:
            heap -= 1
        else:
            size -= 1
            if not size:
                return
            items[0], items[size] = items[size], items[0]
        _sift(items, heap, size, key)


def _sift(items: list[T], top: int, size: int, key: Callable[[T], Any]) -> None:
    place = top
    while (right := 2 * place + 2) < size:
        left = right - 1
        place = left if key(items[left]) >= key(items[right]) else right
    if 2 * place + 2 == size:  # a last leaf that has no sibling
        place = 2 * place + 1
    while place != top and key(items[top]) >= key(items[place]):
        place = (place - 1) // 2
    moved = items[top]
    while True:
        items[place], moved = moved, items[place]
        if place == top:
            return
        place = (place - 1) // 2
