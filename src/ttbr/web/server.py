"""Runs the application on a socket, until it is interrupted."""

import ipaddress
import socket
from collections.abc import Sequence

import uvicorn

from ttbr.errors import InputError
from ttbr.report.view.page import served
from ttbr.web.app import application
from ttbr.web.guard import LOOPBACK
from ttbr.web.library import Library

MOST_CONNECTIONS = 64
KEPT = 5  # seconds that a connection without requests stays open


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; `InputError` where it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot listen there: {error.strerror}") from error


def names_of(host: str, names: Sequence[str]) -> tuple[str, ...]:
    """The hosts that requests may be addressed to; `InputError` for all interfaces without any."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return (host, *names)
    if address.is_loopback:
        return (*LOOPBACK, *names)
    if not address.is_unspecified:
        return (f"[{host}]" if address.version == 6 else host, *names)
    if not names:
        raise InputError(f"--host {host} is every address: say by which --name it is asked for")
    return tuple(names)


def run(library: Library, listening: socket.socket, names: Sequence[str]) -> None:
    """Answer requests until the process is interrupted."""
    page, policy = served()
    app = application(library, page.encode(), f"{policy}; frame-ancestors 'none'", names)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEPT,
    )
    uvicorn.Server(config).run(sockets=[listening])
