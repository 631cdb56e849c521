"""The tables of recordings in docs/linux-in-an-image.md are whole; what compares fills them."""

import re

import figures
import pytest
from figures import FIGURES, Figures, tables


def test_every_recording_of_the_page_has_every_figure():
    compared, described, members = tables()[1:]
    assert compared[0] == ["recording", *FIGURES]
    cells = [cell for line in compared[2:] for cell in line[1:]]
    assert [c for c in cells if not re.fullmatch(r"\d+ of \d+(, unknown \d+)?", c)] == []
    recordings = [line[0] for line in compared[2:]]
    assert len(recordings) == len(set(recordings)) > 0
    assert [line[0] for line in described[2:]] == members[0][1:] == recordings
    assert "?" not in [cell for table in (described, members) for line in table for cell in line]


def test_a_cell_that_is_out_of_date_fails_until_it_is_written(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("| recording | areas |\n|---|---|\n| a | 7 of 8 |\n\nText\n")
    monkeypatch.setattr(figures, "PAGE", page)
    monkeypatch.delenv("TTBR_WRITE_DOCS", raising=False)
    said = []
    figure = Figures("a", said.append)
    figure("areas", 8, 7)
    with pytest.raises(AssertionError, match="a / areas: '7 of 8', found '8 of 8, unknown 1'"):
        figure("areas", 8, 8, 1)
    Figures("not on the page", said.append)("areas", 1, 1)
    monkeypatch.setenv("TTBR_WRITE_DOCS", "1")
    figure("areas", 8, 8, 1)
    assert "| a | 8 of 8, unknown 1 |" in page.read_text()
    assert said[0] == "a: areas, compared 8, equal 7, unknown 0"
