"""PDF files put together by hand: as little as a page needs."""

import zlib
from collections.abc import Sequence


def pdf(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A file of these objects, numbered from 1, the first one its catalog."""
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    table += b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, trailer, len(body))
    return body + table + end


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def pages(contents: Sequence[bytes], trailer: bytes = b"", extra: Sequence[bytes] = ()) -> bytes:
    """A file with a page per content stream; `extra` objects follow, the first one's number is 4 + 2 per page."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * at) for at in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(contents), kids),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, content in enumerate(contents):
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R" % (5 + 2 * at)
        objects += [page + b" /Resources << /Font << /F1 3 0 R >> >> >>", content]
    return pdf([*objects, *extra], trailer)


def text_page(*lines: str) -> bytes:
    """The content stream of a page that shows these lines."""
    shown = b" T* ".join(b"(%s) Tj" % line.encode("cp1252") for line in lines)
    return stream(b"BT /F1 12 Tf 14 TL 72 720 Td %s ET" % shown)


def bomb(n_bytes: int) -> bytes:
    """A content stream that unpacks to so many bytes."""
    return stream(zlib.compress(b" " * n_bytes, 9), b"/Filter /FlateDecode")
