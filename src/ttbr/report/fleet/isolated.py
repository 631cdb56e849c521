"""A job in a process of its own, so that no image can take more time or memory than it may.

Run as a program this module is that process: the job comes on standard input as JSON, and the
outcome goes to a file beside the tables. It ends when standard input does, and so with its parent.
"""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from ttbr.errors import TtbrError
from ttbr.format import about
from ttbr.report.fleet.job import Job, Outcome, do, line
from ttbr.report.relations import arrow

_STEP = 0.2  # seconds between looks at the clock
_TAIL = 4096  # bytes of what a child said last
_OUTCOME = "outcome.json"
_ENVIRONMENT = {
    # One thread each, as there is a process for each image; and an allocator that takes what it
    # needs, because what is reserved counts against the limit.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def run(job: Job, stop: threading.Event | None = None) -> Outcome:
    """Do a job in a child; whatever becomes of that is the outcome.

    With ``stop`` set the child is ended.
    """
    began = time.monotonic()
    try:
        outcome = _run(job, began + job.seconds, stop)
    except OSError as error:
        outcome = Outcome(error=line(str(error)))
    return replace(outcome, seconds=time.monotonic() - began)


def _run(job: Job, deadline: float, stop: threading.Event | None) -> Outcome:
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, **_ENVIRONMENT},
        ) as child,
    ):
        try:
            assert child.stdin is not None
            # Left open: a child whose parent is gone reads its end.
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
                child.stdin.flush()
            while child.poll() is None:
                if stop is not None and stop.is_set():
                    return Outcome(error="interrupted")
                if time.monotonic() > deadline:
                    return Outcome(error=f"took longer than {job.seconds:g} s")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_STEP)
        finally:
            child.kill()
        if child.returncode == 0:
            return Outcome(**json.loads((folder / _OUTCOME).read_text()))
        return Outcome(error=_end(child.returncode, said))


def _end(code: int, said: IO[bytes]) -> str:
    """Why a child ended without an outcome."""
    if code == -signal.SIGKILL:
        return "its process was killed: there may have been too little memory"
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL))
    last = said.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    return line(f"its process ended with exit code {code}: {last}")


def _limit_memory(size: int) -> None:
    """Bound what this process may write to; files that are mapped for reading do not count.

    Systems that have no such limit go without.
    """
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _answer(job: Job) -> Outcome:
    too_much = Outcome(error=f"needs more memory than {about(job.memory)}")
    try:
        return do(job)
    except MemoryError:
        return too_much
    except (TtbrError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            return too_much
        return Outcome(error=line(str(error).removeprefix(f"{job.name}: ")))
    # Whatever an image brings about is about that image.
    except Exception as error:
        return Outcome(error=line(f"{type(error).__name__}: {error}"))


def _main() -> None:
    given = json.loads(sys.stdin.buffer.readline())
    job = Job(**{**given, "tables": tuple(given["tables"])})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(TtbrError):  # said when it is missed
        arrow.pyarrow()  # libraries are no image's fault
    _limit_memory(job.memory)
    outcome = _answer(job)
    (Path(job.folder) / _OUTCOME).write_text(json.dumps(outcome.as_json()))
    sys.stdout.flush()
    os._exit(0)  # the thread still reads


if __name__ == "__main__":
    _main()
