"""A machine's memory as one document for the page that ``ttbr view`` writes and `serve` shows.

`columns` has the encoding, `document` puts the parts together, `page` puts it into the page. What
the document holds is declared, field by field, in ``web/src/document.ts``.
"""

from ttbr.report.view.document import VERSION, Document, Subject, unpack, view
from ttbr.report.view.room import Room
from ttbr.report.view.subjects import linux_in, of_attempt, of_image

__all__ = [
    "VERSION",
    "Document",
    "Room",
    "Subject",
    "linux_in",
    "of_attempt",
    "of_image",
    "unpack",
    "view",
]
