"""The list of images as a page: links, without script."""

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import quote

from ttbr import html

STYLE = ":root{background:Canvas;color:CanvasText}body{font-family:sans-serif;background:Canvas}"
"""The system's colours, said aloud: what looks at contrast takes a page without them for white."""

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"
"""Content-Security-Policy: this style, and nothing else."""


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
        '<meta name="color-scheme" content="light dark"><title>ttbr</title>'
        f"<style>{STYLE}</style></head>"
        f"<body><main><h1>Images</h1>{f'<ul>{links}</ul>' if names else empty}</main></body></html>"
    )
