"""The page of a document: one file that shows it without a network.

The page itself is built from ``web/``. Nothing of a document becomes markup: it goes in as base64.
"""

from base64 import b64encode
from importlib.resources import files

from ttbr.report.view.document import Document

_HOLDER = '<script type="text/plain" id="document">'
_POLICY = "default-src 'none'"
_META = '<meta http-equiv="Content-Security-Policy" content="'
_HTML = '<html lang="en"'


def embedded(document: Document) -> str:
    """The page with the document in it."""
    data = b64encode(document.packed()).decode("ascii")
    return _template().replace(_HOLDER, _HOLDER + data, 1)


def served() -> tuple[str, str]:
    """The page for a server, and its Content-Security-Policy.

    It asks that server, and no other, for ``api/document`` with the query of its own address.
    """
    page = _template().replace(_HTML, f"{_HTML} data-served", 1)
    page = page.replace(_POLICY, f"{_POLICY}; connect-src 'self'", 1)
    _, _, rest = page.partition(_META)
    return page, rest.partition('"')[0]


def _template() -> str:
    return files("ttbr.report.view").joinpath("page.html").read_text("utf-8")
