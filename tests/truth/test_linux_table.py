"""The tables of recordings in docs/linux-in-an-image.md are whole; what compares fills them."""

import re

from figures import FIGURES, tables


def test_every_recording_of_the_page_has_every_figure():
    figures, described, members = tables()[1:]
    assert figures[0] == ["recording", *FIGURES]
    cells = [cell for line in figures[2:] for cell in line[1:]]
    assert [c for c in cells if not re.fullmatch(r"\d+ of \d+(, unknown \d+)?", c)] == []
    recordings = [line[0] for line in figures[2:]]
    assert len(recordings) == len(set(recordings)) > 0
    assert [line[0] for line in described[2:]] == members[0][1:] == recordings
    assert "?" not in [cell for table in (described, members) for line in table for cell in line]
