"""``ttbr serve`` as a process: where it listens, whom it answers, how it ends."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest


def start(*arguments: object) -> tuple[subprocess.Popen[str], str]:
    """A server, and the address that it prints."""
    command = [sys.executable, "-m", "ttbr", "serve", *map(str, arguments), "--port", "0"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


@pytest.fixture(scope="module")
def address(predictions: dict[str, Path]) -> Iterator[str]:
    server, found = start(predictions["qemu-virt-arm64"].parent)
    yield found
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)
    assert (server.returncode, out, err) == (0, "", "")


def ask(address: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_it_listens_on_loopback_alone(address: str) -> None:
    assert urlsplit(address).hostname == "127.0.0.1"
    status, page = ask(address, "/")
    assert status == 200 and b"qemu-virt-arm64.elf" in page


def test_it_answers_about_an_image(address: str) -> None:
    where = "/api/translate?image=qemu-virt-arm64.elf&va=0xffff800008010000"
    status, body = ask(address, where)
    assert status == 200 and json.loads(body)["pa"] == "0x40210000"
    status, page = ask(address, "/?image=qemu-virt-arm64.elf")
    assert status == 200 and b"data-served" in page


@pytest.mark.parametrize("path", ["/", "/api/images", "/api/document?image=qemu-virt-arm64.elf"])
def test_a_foreign_host_and_origin_are_refused(address: str, path: str) -> None:
    assert ask(address, path, Host="evil.example")[0] == 421
    assert ask(address, path, Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/etc/passwd", "//etc/passwd", "/%2e%2e/x"])
def test_no_path_leads_to_a_file(address: str, path: str) -> None:
    assert ask(address, path)[0] == 404


def test_what_cannot_be_served(ttbr, examples: Path) -> None:
    ttbr("serve", "no-such-folder").refused("no-such-folder")
    ttbr("serve", examples, "--host", "0.0.0.0").refused("--name")
    ttbr("serve", examples / "a" / "x.elf").refused("x.elf")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ttbr("serve", examples, "--port", port).refused(f"127.0.0.1:{port}", "listen")
