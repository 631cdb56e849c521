"""What two machines map differently, root by root."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ttbr.arch.attributes import Attributes
from ttbr.errors import TtbrError
from ttbr.format import hex_value
from ttbr.mmu.compare import Change
from ttbr.mmu.image import Image
from ttbr.report.diff import KERNEL, USER, RootDiff, diff_images
from ttbr.report.diff_roots import Roots
from ttbr.report.view.columns import Head
from ttbr.report.view.machines import Pen
from ttbr.report.view.regions import UNIT

Numbered = tuple[int, Image]
"""A machine of the document: its number, and the image."""


def comparisons(pen: Pen, images: Sequence[Sequence[Numbered]]) -> list[Head]:
    """Each machine of the first subject against each other subject: at the same stage, or its end.

    A machine without a root that both have is left out.
    """
    found = []
    for others in images[1:]:
        by_stage = {image.facts.stage: (number, image) for number, image in others}
        for first, image in images[0]:
            if not others:
                continue
            number, other = by_stage.get(image.facts.stage, others[-1])
            parts = [
                _root(pen, diff)
                for root in _common(image, other)
                for diff in diff_images(image, other, [], [root]).roots
            ]
            if parts:
                found.append({"a": first, "b": number, "roots": parts})
    return found


def _common(a: Image, b: Image) -> Iterator[Roots]:
    """The roots that both machines have."""
    for root in (KERNEL, USER):
        try:
            if (
                a.arch == b.arch
                and a.address_space(root.name).root
                and b.address_space(root.name).root
            ):
                yield root
        except TtbrError:
            continue


def _root(pen: Pen, diff: RootDiff) -> Head:
    body, d = pen.body, diff.differences
    unit = np.uint64(UNIT)

    def meaning(values: list[Attributes], index: Any) -> Head:
        numbers = np.array([pen.catalogue.meaning(value) for value in values] or [-1], np.int64)
        return body.numbers(np.where(index < 0, -1, numbers[np.maximum(index, 0)]))

    return {
        "root": diff.root,
        "table_a": hex_value(diff.table_a),
        "table_b": hex_value(diff.table_b),
        "cut": list(diff.cut),
        "differences": body.table(
            len(d),
            {
                "page": body.numbers(d.va >> unit),
                "pages": body.numbers((d.last - d.va >> unit) + np.uint64(1)),
                "change": body.coded(d.change, [change.name.lower() for change in Change]),
                "pa_a": body.numbers(d.pa_a),
                "pa_b": body.numbers(d.pa_b),
                "meaning_a": meaning(d.values_a, d.attributes_a),
                "meaning_b": meaning(d.values_b, d.attributes_b),
            },
        ),
    }
