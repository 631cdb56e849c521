"""The page in the package is the build of its sources, and has all its words in both languages."""

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from model_images import EXAMPLES, booted

from ttbr.boot import Board, qemu
from ttbr.boot.boot import boot_until_failure, default_kernel
from ttbr.findings.attempt import attempt
from ttbr.recover.linux import Linux
from ttbr.report.view import of_attempt, of_image, view

WEB = Path(__file__).parents[2] / "web"
LARGEST = 300_000


def test_the_page_is_the_build_of_its_sources(tmp_path):
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules").is_dir():
        pytest.skip("the page's tools are absent (npm ci in web/)")
    built = tmp_path / "page.html"
    subprocess.run([node, WEB / "build.mjs", built], check=True, capture_output=True)
    page = files("ttbr.report.view").joinpath("page.html").read_text("utf-8")
    assert built.read_text("utf-8") == page
    assert len(page) < LARGEST


def test_every_word_is_there_in_both_languages():
    strings = json.loads((WEB / "src" / "strings.json").read_text("utf-8"))
    for key, words in strings.items():
        english, chinese = words
        assert english and chinese, key
        holes = [set(re.findall(r"\{\w+\}", text)) for text in words]
        assert holes[0] == holes[1], key


def test_the_lock_file_names_no_host():
    lock = json.loads((WEB / "package-lock.json").read_text("utf-8"))
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def declared(name):
    """The members of an interface of the document: all, and those that it always has."""
    source = (WEB / "src" / "document.ts").read_text("utf-8")
    block = re.search(rf"export interface {name} \{{(.*?)\n\}}", source, re.S)[1]
    members = re.findall(r"^  readonly (\w+)(\??):", block, re.M)
    return {member for member, _ in members}, {member for member, may in members if not may}


def test_the_document_is_as_it_is_declared():
    image = booted("arm64").images["mm_init"]
    boards = attempt(
        (EXAMPLES / "qemu-virt-arm32.dtb").read_bytes(),
        Board.from_dtb,
        default_kernel,
        qemu,
        boot_until_failure,
    )
    subjects = [of_attempt("board", boards), of_image("image", image, Linux(image))]
    head = view([*subjects, subjects[1]]).head
    subjects, machines, regimes = (head[name] for name in ("subjects", "machines", "regimes"))
    spaces = [space for machine in machines for space in machine["spaces"]]
    levels = [level for regime in regimes for level in regime["levels"]]
    forms = [form for level in levels for form in level["forms"]]
    fields = [field for layout in head["layouts"] for field in layout["fields"]]
    for name, found in {
        "Head": [head],
        "Subject": subjects,
        "Boot": [subjects[0]["boot"]],
        "Machine": machines,
        "Space": spaces,
        "Pool": [machine["pool"] for machine in machines],
        "Regime": regimes,
        "Level": levels,
        "Form": forms,
        "Layout": head["layouts"],
        "Field": fields,
        "Finding": [finding for subject in subjects for finding in subject["findings"]],
    }.items():
        known, always = declared(name)
        assert found
        for each in found:
            assert always <= set(each) <= known, name
