"""The server's answers: what they hold, and to whom they are refused."""

import asyncio
import lzma
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_images import EXAMPLES, booted, save
from starlette.testclient import TestClient

import ttbr
from ttbr.errors import InputError, TtbrError
from ttbr.recover.translate import Translator
from ttbr.report.translation import translation_json
from ttbr.report.view import unpack
from ttbr.web.answers import MOST_ROWS
from ttbr.web.app import application
from ttbr.web.guard import LOOPBACK
from ttbr.web.library import Library
from ttbr.web.shelf import MOST_OPEN, MOST_WAITING, Busy, Shelf

DUMPS = Path(__file__).resolve().parents[1] / "fixtures" / "dumps"
TEXT = 0xFFFF800008010000
POLICY = "default-src 'none'; script-src 'sha256-x'"
HOSTILE = "<img src=x onerror=alert(1)>.elf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    save("arm64", root / "arm64.elf")
    (root / "below").mkdir()
    shutil.copy(DUMPS / "qemu-arm64-elf.xz", root / "below" / "guest.elf.xz")
    shutil.copy(root / "arm64.elf", root / HOSTILE)
    shutil.copy(EXAMPLES / "qemu-virt-arm32.dtb", root / "board.dtb")
    (root / "broken.dtb").write_bytes((root / "board.dtb").read_bytes()[:200])
    (root / "broken.elf").write_bytes((root / "arm64.elf").read_bytes()[:300])
    (root / "notes.txt").write_text("no image")
    (root / "notes.xz").write_bytes(lzma.compress(b"no image"))
    (root / "damaged.xz").write_bytes(lzma.compress(bytes(1000))[:40])
    (root / "raw.bin").write_bytes(lzma.decompress((DUMPS / "qemu-arm64-raw.xz").read_bytes()))
    (root / "raw.json").write_text('[{"base": "0x40000000", "size": "0x200000"}]')
    outside = tmp_path_factory.mktemp("outside")
    save("arm32", outside / "secret.elf")
    (root / "link.elf").symlink_to(outside / "secret.elf")
    (root / "out").symlink_to(outside, target_is_directory=True)
    (root / "again.elf").symlink_to(root / "arm64.elf")
    (root / "loop.elf").symlink_to(root / "loop.elf")
    return root


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    app = application(Library([str(folder)]), b"<!doctype html>page", POLICY, LOOPBACK)
    with TestClient(app, base_url="http://localhost:8000") as found:
        yield found


def test_the_list_has_images_and_nothing_that_leads_out(client):
    listed = client.get("/api/images").json()["images"]
    boards = ["board.dtb", "broken.dtb"]
    images = [HOSTILE, "again.elf", "arm64.elf", "below/guest.elf.xz", "broken.elf", "raw.bin"]
    assert [row["name"] for row in listed] == sorted(boards + images)
    assert [row["name"] for row in listed if row["kind"] == "board"] == boards


NO_IMAGES = [
    "notes.txt",
    "notes.xz",
    "damaged.xz",
    "loop.elf",
    "raw.json",
    "",
    ".",
    "a\0b",
    "%2e%2e/x",
]
OUTSIDE = ["../outside/secret.elf", "link.elf", "out/secret.elf", "/etc/passwd"]
SPELLED = ["arm64.elf@0x0", "arm64.elf,below/guest.elf.xz"]


@pytest.mark.parametrize("name", [*NO_IMAGES, *OUTSIDE, *SPELLED])
@pytest.mark.parametrize("path", ["/api/document", "/api/translate", "/api/mappings"])
def test_a_name_that_is_not_in_the_list_is_no_image(client, path, name):
    extra = {"va": "0"} if path.endswith("translate") else {}
    answer = client.get(path, params={"image": name, **extra})
    assert (answer.status_code, answer.json()) == (404, {"error": "there is no such image"})


def test_a_file_that_becomes_a_link_out_is_not_opened(folder, tmp_path):
    image = tmp_path / "shelf" / "image.elf"
    image.parent.mkdir()
    shutil.copy(folder / "arm64.elf", image)
    entry = Library([str(image.parent)]).find("image.elf")
    image.unlink()
    image.symlink_to(folder / "arm64.elf")
    with pytest.raises(InputError, match="not in its folder any more"):
        entry.check()


HOSTS = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "", "localhost:x"]


@pytest.mark.parametrize("host", [*HOSTS, "localhost, evil.example", "[::1", "user@localhost"])
@pytest.mark.parametrize("path", ["/", "/api/images", "/no/such/page"])
def test_a_foreign_host_is_refused(client, host, path):
    assert client.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9999", "[::1]:8000"])
def test_loopback_by_any_of_its_names_is_answered(client, host):
    assert client.get("/api/images", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9000"},  # another server on the same machine
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_others_is_refused(client, headers):
    answer = client.get("/api/images", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_the_own_page_is_answered(client):
    own = {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/images", headers=own).status_code == 200
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=linked).status_code == 200
    assert client.get("/api/images", headers=linked).status_code == 403


def test_only_get_is_answered(client):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert client.request(method, "/api/images").status_code == 405


def test_headers(client):
    front = client.get("/", params={"image": "arm64.elf"})
    assert front.headers["content-security-policy"] == POLICY
    for answer in (front, client.get("/api/images"), client.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors" in answer.headers["content-security-policy"] or answer is front


def test_a_translation_is_that_of_the_command(client, folder):
    image = ttbr.open(str(folder / "arm64.elf"))
    for va in (TEXT, 0xFFFF000000000000, 0xFFFFFFFFFFFF0000, 0):
        answer = client.get("/api/translate", params={"image": "arm64.elf", "va": hex(va)})
        assert answer.json() == translation_json(Translator(image).translate(va))
    through = {"image": "arm64.elf", "va": str(TEXT), "root": "kernel"}
    found = client.get("/api/translate", params=through).json()
    assert found["pa"] == "0x40210000" and len(found["steps"]) == 4


def test_mappings_go_on_where_they_ended(client, folder):
    mappings = ttbr.open(str(folder / "arm64.elf")).address_space("kernel").mappings()
    regions, rows, start = mappings.regions(), [], "0x0"
    while start is not None:
        query = {"image": "arm64.elf", "root": "kernel", "from": start, "limit": "5"}
        part = client.get("/api/mappings", params=query).json()
        assert len(part["mappings"]) <= 5
        rows += part["mappings"]
        start = part["next"]
    assert [int(row["va"], 16) for row in rows] == regions.va.tolist()
    assert sum(row["descriptors"] for row in rows) == len(mappings)
    values = mappings.attribute_values
    assert [row["attributes"] for row in rows] == [values[i].summary() for i in regions.attributes]


def test_mappings_of_a_range(client):
    query = {"image": "arm64.elf", "from": hex(TEXT), "to": hex(TEXT)}
    found = client.get("/api/mappings", params=query).json()
    assert found["ranges"] == len(found["mappings"]) == 1
    row = found["mappings"][0]
    assert int(row["va"], 16) <= TEXT <= int(row["last"], 16)


def test_a_document_is_that_of_the_image(client, folder):
    answer = client.get("/api/document", params={"image": "below/guest.elf.xz"})
    assert answer.headers["content-type"] == "application/octet-stream"
    head = unpack(answer.content).head
    assert head["subjects"][0]["name"] == "below/guest.elf.xz"
    assert str(folder) not in str(head)


def test_a_hostile_name_is_only_ever_data(client):
    listed = client.get("/api/images")
    assert listed.headers["content-type"] == "application/json"
    answer = client.get("/api/translate", params={"image": HOSTILE, "va": hex(TEXT)})
    assert answer.json()["pa"] == "0x40210000"
    wrong = client.get("/api/mappings", params={"image": HOSTILE, "root": "<b>\x1b[31m"})
    assert wrong.status_code == 422 and "\x1b" not in wrong.json()["error"]


def test_the_list_as_a_page_has_links_that_lead_to_the_images(client):
    page = client.get("/").text
    assert "<img" not in page
    assert "?image=below%2Fguest.elf.xz" in page and f"?image={quote(HOSTILE)}" in page
    assert client.get(f"/?image={quote(HOSTILE)}").text == "<!doctype html>page"


@pytest.mark.parametrize("name", ["broken.elf", "broken.dtb"])
def test_a_damaged_image_is_one_line(client, folder, name):
    answer = client.get("/api/document", params={"image": name})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error and "\n" not in error and str(folder) not in error


def test_a_board_is_booted_and_each_stage_is_a_machine(client):
    boot = booted("arm32")
    packed = client.get("/api/document", params={"image": "board.dtb"}).content
    assert [m["stage"] for m in unpack(packed).head["machines"]] == boot.stages
    for number, stage in enumerate(boot.stages):
        image, query = boot.images[stage], {"image": "board.dtb", "va": "0xc0300000"}
        answer = client.get("/api/translate", params={**query, "machine": str(number)})
        try:
            wanted = translation_json(Translator(image).translate(0xC0300000))
        except TtbrError as error:  # before there are tables
            assert (answer.status_code, answer.json()) == (422, {"error": str(error)})
        else:
            assert answer.json() == wanted
    beyond = {"image": "board.dtb", "machine": str(len(boot.stages))}
    assert client.get("/api/mappings", params=beyond).status_code == 422


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"va": "0"}, "image"),
        ({"image": "arm64.elf"}, "va"),
        ({"image": "arm64.elf", "va": "-1"}, "va"),
        ({"image": "arm64.elf", "va": "0x1" + "0" * 16}, "va"),
        ({"image": "arm64.elf", "va": "9" * 30}, "va"),
        ({"image": "arm64.elf", "va": "0", "path": "/etc"}, "path"),
        ({"image": ["arm64.elf", "raw.bin"], "va": "0"}, "twice"),
        ({"image": "a" * 2000, "va": "0"}, "longer"),
    ],
)
def test_a_request_that_is_none(client, query, word):
    answer = client.get("/api/translate", params=query)
    assert answer.status_code == 400
    assert word in answer.json()["error"]


def test_limits_of_mappings(client):
    query = {"image": "arm64.elf", "limit": str(1 << 63)}
    assert len(client.get("/api/mappings", params=query).json()["mappings"]) <= MOST_ROWS
    empty = {"image": "arm64.elf", "from": "2", "to": "1"}
    assert client.get("/api/mappings", params=empty).status_code == 422


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["images", "document", "translate", "mappings"]),
    st.dictionaries(
        st.sampled_from(["image", "machine", "va", "root", "from", "to", "limit", "x"]),
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(["arm64.elf", "raw.bin", "board.dtb", "broken.elf"]),
            st.sampled_from(["kernel", "user", "0x40000000", "1"]),
        ),
    ),
)
def test_no_request_is_an_error_of_ours(client, path, query):
    answer = client.get(f"/api/{path}", params=query)
    assert answer.status_code in (200, 400, 404, 422)


def test_an_image_that_was_replaced_is_read_again(folder, tmp_path):
    shutil.copy(folder / "raw.bin", tmp_path / "image.bin")
    (tmp_path / "image.json").write_text('[{"base": "0x40000000", "size": "0x200000"}]')
    app = application(Library([str(tmp_path)]), b"", POLICY, LOOPBACK)
    query = {"image": "image.bin", "va": hex(TEXT)}
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/api/translate", params=query).json().get("pa") is None
        shutil.copy(folder / "arm64.elf", tmp_path / "image.bin")
        (tmp_path / "image.json").unlink()
        assert client.get("/api/translate", params=query).json()["pa"] == "0x40210000"


def test_more_images_than_are_kept_open(folder, tmp_path):
    for number in range(MOST_OPEN + 2):
        shutil.copy(folder / "arm64.elf", tmp_path / f"{number}.elf")
    app = application(Library([str(tmp_path)]), b"", POLICY, LOOPBACK)
    with TestClient(app, base_url="http://localhost") as client:
        for number in [*range(MOST_OPEN + 2), 0]:
            query = {"image": f"{number}.elf", "va": hex(TEXT)}
            assert client.get("/api/translate", params=query).status_code == 200


def test_more_requests_than_may_wait(folder):
    """Of many at once some are told to come again, and the server goes on."""
    shelf = Shelf(Library([str(folder)]))
    go_on = threading.Event()

    async def ask_many() -> list[object]:
        many = [shelf.ask("arm64.elf", lambda _: go_on.wait(60)) for _ in range(MOST_WAITING + 3)]
        asked = [asyncio.ensure_future(each) for each in many]
        other = await shelf.ask("raw.bin", lambda answers: answers.entry.name)
        assert other == "raw.bin"
        while sum(each.done() for each in asked) < 3:
            await asyncio.sleep(0.01)
        go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask_many())
    shelf.close()
    assert sum(isinstance(each, Busy) for each in found) == 3
    assert found.count(True) == MOST_WAITING


def test_images_that_are_named(folder):
    spec = f"{folder / 'raw.bin'}@0x40000000"
    app = application(Library([spec]), b"", POLICY, LOOPBACK)
    with TestClient(app, base_url="http://localhost") as client:
        names = [row["name"] for row in client.get("/api/images").json()["images"]]
        assert names == ["raw.bin@0x40000000"]
        query = {"image": names[0], "va": "0"}
        assert client.get("/api/translate", params=query).status_code in (200, 422)
