"""The page in the package is the build of its sources, and has all its words in both languages."""

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

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


def test_types_hold():
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    node = shutil.which("node")
    if node is None or not compiler.is_file():
        pytest.skip("the page's tools are absent (npm ci in web/)")
    done = subprocess.run(
        [node, compiler, "--noEmit", "-p", WEB], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


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
