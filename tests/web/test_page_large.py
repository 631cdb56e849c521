"""A page of a million mappings: what is drawn does not grow with them, and walks stay exact."""

import pytest
from scattered import scattered
from shown_page import expected, show, walks, write

from ttbr.recover.translate import Answer
from ttbr.report.translation import translation_json
from ttbr.report.view import of_image

PAGES = 1 << 20
BASE = 0xFFFF000000000000
MOST_ELEMENTS = 3000


@pytest.fixture(scope="module")
def image():
    return scattered(PAGES)


@pytest.fixture(scope="module")
def file(image, tmp_path_factory):
    return write(tmp_path_factory.mktemp("large") / "million.html", of_image("big", image, None))


def test_a_picture_has_as_many_parts_as_it_has_pixels(page, file):
    show(page, file, view="map", va=hex(BASE + (PAGES // 2 << 12)))
    assert "too many" in page.locator(".note").first.inner_text()
    for _ in range(8):
        assert 20 < page.locator("svg.picture *, .picture svg *").count() < MOST_ELEMENTS
        page.locator(".canvas").press("+")
    page.get_by_role("button", name="one page").click()
    assert "4 KiB" in page.locator("p.range").inner_text()


def test_walks_are_exact_where_the_map_is_coarse(page, file, image):
    show(page, file, view="walk")
    space = image.address_space("kernel")
    vas = [BASE + (number << 12) + 5 for number in (0, 1, 12345, PAGES - 1, PAGES)]
    answers = [translation_json(Answer(space.translate(va))) for va in vas]
    assert walks(page, "kernel", vas) == [expected(answer) for answer in answers]
