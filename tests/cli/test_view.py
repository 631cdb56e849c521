"""`ttbr view` as a user runs it: the file that it writes, and what it refuses."""

import re
from base64 import b64decode

from ttbr.report.view import unpack


def document_in(page):
    data = re.search(r'id="document">([A-Za-z0-9+/=]+)</script>', page.read_text("utf-8"))
    return unpack(b64decode(data[1]))


def test_a_board(ttbr, examples, tmp_path):
    page = tmp_path / "board.html"
    done = ttbr("view", examples / "qemu-virt-arm32.dtb", "-o", page)
    assert (done.code, done.out) == (0, "")
    assert str(page) in done.err
    head = document_in(page).head
    assert head["subjects"][0]["name"] == "qemu-virt-arm32.dtb"
    assert [machine["stage"] for machine in head["machines"]][-1] == "mm_init"


def test_a_prediction_and_a_board_are_compared(ttbr, examples, predictions, tmp_path):
    page = tmp_path / "both.html"
    board = examples / "qemu-virt-arm64.dtb"
    ttbr("view", board, predictions["qemu-virt-arm64"], "-o", page)
    head = document_in(page).head
    assert [subject["kind"] for subject in head["subjects"]] == ["boot", "image"]
    last = head["comparisons"][-1]
    assert [root["differences"]["rows"] for root in last["roots"]] == [0, 0]


def test_the_page_asks_nobody(ttbr, examples, tmp_path):
    page = tmp_path / "board.html"
    ttbr("view", examples / "qemu-virt-arm64.dtb", "-o", page)
    text = page.read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "connect-src" not in policy
    assert "http://" not in text.replace("http://www.w3.org/", "") and "https://" not in text


def test_what_is_refused(ttbr, examples, predictions, tmp_path):
    board, image = examples / "qemu-virt-arm64.dtb", predictions["qemu-virt-arm64"]
    ttbr("view", board).refused("--output")
    ttbr("view", "-o", tmp_path / "x.html").refused("IMAGE")
    ttbr("view", board, "-o", tmp_path / "no" / "x.html").refused("cannot be written")
    ttbr("view", image, "--memory", "1G", "-o", tmp_path / "x.html").refused("--memory is about")
    ttbr("view", tmp_path / "gone", "-o", tmp_path / "x.html").refused("gone")
