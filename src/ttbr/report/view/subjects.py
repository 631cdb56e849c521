"""What a document is about: a board that was booted, or an image; each with its findings."""

from collections.abc import Callable

from ttbr.errors import TtbrError
from ttbr.findings import Attempt, Audited, audit, check
from ttbr.mmu.image import Image
from ttbr.recover.linux import Linux
from ttbr.report.findings import all_json
from ttbr.report.view.boots import boot_json
from ttbr.report.view.columns import Head
from ttbr.report.view.document import Subject
from ttbr.report.view.images import image_json
from ttbr.report.view.machines import Pen


def of_attempt(name: str, subject: Attempt) -> Subject:
    """A board as it boots, with what `check` finds."""

    def write(pen: Pen) -> tuple[list[Head], Head]:
        machines: list[Head] = []
        boot: Head | None = None
        if subject.boot is not None:
            machines, boot = boot_json(pen, subject.boot)
        findings = all_json(check(subject))["findings"]
        return machines, {"kind": "boot", "boot": boot, "findings": findings}

    images = list(subject.boot.images.values()) if subject.boot is not None else []
    return Subject(name, images, write)


def linux_in(image: Image) -> Linux | None:
    """The Linux in an image; None where its registers lead to no kernel's tables."""
    try:
        image.address_space("kernel")
    except TtbrError:
        return None
    return Linux(image)


def of_image(name: str, image: Image, linux: Linux | None) -> Subject:
    """An image, with what `audit` finds; ``linux``: None where there is none to read."""

    def write(pen: Pen) -> tuple[list[Head], Head]:
        machine, told = image_json(pen, image, linux)
        findings: list[Head] = []
        if linux is not None:
            pen.progress("audit")
            findings = _audited(image, linux, told["notes"].append)
        return [machine], {"kind": "image", **told, "findings": findings}

    return Subject(name, [image], write)


def _audited(image: Image, linux: Linux, note: Callable[[str], None]) -> list[Head]:
    try:
        found: list[Head] = all_json(audit(Audited(image, linux)))["findings"]
    except TtbrError as error:
        note(f"audit: {error}")
        return []
    return found
