"""`ttbr symbols` and `ttbr config` as a user runs them, on memory that holds neither."""


def test_a_prediction_has_the_symbols_that_it_was_made_from(ttbr, predictions):
    image = predictions["qemu-virt-arm64"]
    symbols = ttbr("symbols", image, "--name", "_s?text", "--json").json["symbols"]
    assert [symbol["name"] for symbol in symbols] == ["_text", "_stext"]
    text = int(symbols[0]["address"], 16)
    near = ttbr("symbols", image, "--at", hex(text + 8))
    assert (near.code, near.out) == (0, f"{text + 8:#x} _text+0x8\n")
    assert ttbr("symbols", image, "--name", "nothing").code == 1
    ttbr("symbols", image, "--name", "(").refused("no regular expression")


def test_no_configuration_is_an_answer(ttbr, predictions):
    done = ttbr("config", predictions["qemu-virt-arm64"])
    assert (done.code, done.out) == (1, "")
    assert "no configuration" in done.err


def test_types_from_two_files(ttbr, predictions, tmp_path):
    image = predictions["qemu-virt-arm64"]
    ttbr("symbols", image, "--vmlinux", image, "--btf", image).refused("--vmlinux and --btf")


def test_a_file_without_types(ttbr, predictions, tmp_path):
    image = predictions["qemu-virt-arm64"]
    (tmp_path / "junk").write_bytes(b"junk")
    ttbr("symbols", image, "--btf", tmp_path / "junk").refused("junk", "not BTF")
    ttbr("symbols", image, "--vmlinux", image).refused("neither .BTF nor debugging information")


def test_an_image_without_tasks(ttbr, predictions):
    image = predictions["qemu-virt-arm64"]
    ttbr("ps", image).refused("no tasks were found")
    ttbr("maps", image, "1").refused("no tasks were found")
    zones = ttbr("zones", image)
    assert (zones.code, zones.out) == (1, "")
    assert "not found" in zones.err
    page = ttbr("page", image, "0x40300000", "--json").json
    assert (page["page"], page["processes"]) == (None, None)
    assert len(page["kernel"]) >= 1


def test_help_has_examples(ttbr):
    for command in ("symbols", "config", "ps", "maps", "page", "read", "search", "buddy"):
        done = ttbr(command, "--help")
        assert done.code == 0
        assert "Examples:" in done.out
