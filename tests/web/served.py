"""A server for tests: ``ttbr serve`` as a process, on a port of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(*arguments: object, before: str = "") -> Iterator[str]:
    """The address of a server with these arguments, while the block runs.

    ``before``: Python that runs in its process first.
    """
    program = f"{before}\nfrom ttbr.cli.main import main; main()"
    command = [sys.executable, "-c", program, "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://"), address
            yield address
        finally:
            server.terminate()
