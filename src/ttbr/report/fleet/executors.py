"""Where a fleet's jobs run: in processes of this machine, or on a Dask cluster."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ttbr.errors import InputError
from ttbr.report.fleet.isolated import run
from ttbr.report.fleet.job import Job, Outcome

EXTRA = "fleet"
CONNECT = 10  # seconds to reach a scheduler in
Submit = Callable[[Job], "Future[Outcome]"]


@contextmanager
def local(workers: int) -> Iterator[Submit]:
    """So many processes of this machine at a time; they end with the context."""
    stop = threading.Event()
    with ThreadPoolExecutor(workers, "fleet") as pool:
        try:
            yield lambda job: pool.submit(run, job, stop)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def cluster(address: str) -> Iterator[Submit]:
    """The Dask cluster with this scheduler; its workers must see the images and the folder.

    `InputError` if Dask is not installed, or the scheduler cannot be reached or has no workers.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra, and slow to import
        from distributed.comm.addressing import get_address_host_port  # noqa: PLC0415
    except ImportError:
        raise InputError(
            f"--scheduler needs distributed, which is not installed: pip install 'ttbr[{EXTRA}]'"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    connect: Any = Client  # partly typed
    try:
        get_address_host_port(address)
        client = connect(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"scheduler {address}: cannot be reached: {reason}") from None
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise InputError(f"scheduler {address}: has no workers")
        pool = client.get_executor(pure=False)
        try:
            yield lambda job: pool.submit(run, job)
        finally:
            pool.shutdown(wait=False)  # which cancels what has not begun
