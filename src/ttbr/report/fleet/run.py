"""A fleet: every image by itself, what came of it into the data set and the manifest."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from ttbr.report.fleet.dataset import Dataset
from ttbr.report.fleet.executors import Submit
from ttbr.report.fleet.images import FleetImage
from ttbr.report.fleet.job import Job, Outcome, line
from ttbr.report.fleet.manifest import DONE, FAILED, Entry
from ttbr.report.relations.arrow import utf8


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may take: ``seconds``, bytes of ``memory``, and ``retries`` if it fails."""

    seconds: float
    memory: int
    retries: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """What came of a fleet: the ``entries`` of all its images, ``before`` of them done before.

    ``seconds``: how long this run took.
    """

    entries: list[Entry]
    before: int
    seconds: float

    @property
    def failed(self) -> list[Entry]:
        """The images that failed."""
        return [entry for entry in self.entries if entry.status == FAILED]


def run_fleet(
    images: Sequence[FleetImage],
    dataset: Dataset,
    submit: Submit,
    limits: Limits,
    say: Callable[[str], None] = lambda what: None,
) -> Fleet:
    """Deal with all images that are not done; those that fail are tried again after the others.

    ``say`` is told in words of each that is finished.
    """
    began = time.monotonic()
    ended: SimpleQueue[Future[Outcome]] = SimpleQueue()
    running: dict[Future[Outcome], tuple[FleetImage, Path, int]] = {}

    def start(image: FleetImage, attempt: int) -> None:
        folder = dataset.aside(image)
        job = Job(
            *(image.name, image.spec, image.registers, dataset.tables, str(folder)),
            *(limits.seconds, limits.memory),
        )
        future = submit(job)
        running[future] = image, folder, attempt
        future.add_done_callback(ended.put)

    to_do = [image for image in images if not dataset.is_done(image)]
    finished = 0
    for image in to_do:
        start(image, 1)
    while running:
        future = ended.get()
        image, folder, attempt = running.pop(future)
        outcome = _placed(dataset, image, folder, _outcome(future))
        dataset.drop(folder)
        if outcome.error is not None and attempt <= limits.retries:
            start(image, attempt + 1)
            continue
        entry = _entry(image, outcome, attempt)
        dataset.manifest.add(entry)
        finished += 1
        say(f"{finished} of {len(to_do)}, last {entry.image}: {entry.status}")
    known = dataset.manifest.entries
    return Fleet(
        [known[image.id] for image in images], len(images) - len(to_do), time.monotonic() - began
    )


def _outcome(future: "Future[Outcome]") -> Outcome:
    """What became of a job; an error of a worker that was lost is the image's."""
    error = future.exception()
    if error is None:
        return future.result()
    return Outcome(error=line(f"{type(error).__name__}: {error}"))


def _placed(dataset: Dataset, image: FleetImage, folder: Path, outcome: Outcome) -> Outcome:
    """The outcome once its tables are in place."""
    try:
        dataset.place(image, folder, {} if outcome.error is not None else outcome.rows)
    except OSError as error:
        dataset.place(image, folder, {})
        return Outcome(
            error=line(f"what the worker wrote cannot be put in place: {error}"),
            seconds=outcome.seconds,
        )
    return outcome


def _entry(image: FleetImage, outcome: Outcome, attempts: int) -> Entry:
    return Entry(
        image=image.id,
        file=utf8(image.name),
        size=image.size,
        fingerprint=image.fingerprint,
        status=DONE if outcome.error is None else FAILED,
        error=outcome.error,
        rows=outcome.rows if outcome.error is None else {},
        missing=outcome.missing,
        notes=outcome.notes,
        seconds=round(outcome.seconds, 3),
        attempts=attempts,
    )
