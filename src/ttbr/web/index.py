"""The list of images as a page: links, without script or style."""

from collections.abc import Sequence
from urllib.parse import quote

from ttbr import html


def index(names: Sequence[str]) -> str:
    """HTML with a link to each image's page; a file's name is as hostile as what is in it."""
    links = "".join(
        f'<li><a href="?image={quote(name, safe="", errors="surrogateescape")}">'
        f"{html.text(name)}</a></li>"
        for name in names
    )
    empty = html.line("The folders hold no image that can be told by how it begins.")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><title>ttbr</title></head>'
        f"<body><h1>Images</h1>{f'<ul>{links}</ul>' if names else empty}</body></html>"
    )
