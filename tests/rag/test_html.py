"""HTML: what a reader sees, under its headings, with the places in the source."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import UnreadableDocument
from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract import html
from vdb.rag.extract.formats import HTML, Parsed, parse

PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Pumps &amp;
  valves</title><style>p { color: red }</style></head>
<body><nav><a href="/">Home</a></nav>
<p>Before   any
heading.</p>
<h1>Using the <em>pump</em></h1>
<p>Turn it &ldquo;on&rdquo;&hellip;<br>then wait.</p>
<script>if (a < b) { document.write("<p>never seen</p>") }</script>
<h2>Settings</h2>
<table><tr><th>Name<th>Value<tr><td>speed</td><td>3&nbsp;rpm</td></tr></table>
<ul><li>first<li>second <b>bold</b>ly</ul>
<pre>
for x in y:
    print(x &lt; 1)
</pre>
<div hidden><p>secret</p></div><p style="display: none">secret<p>Shown again.
<h1>Second</h1>The end.</body></html>
"""


def _parse(source: str, size: int = 12) -> Parsed:
    return parse(source.encode(), HTML, ChunkOptions(size), 10_000)


def _texts(source: str) -> list[str]:
    return [chunk.text for chunk in _parse(source, 200).chunks]


def test_text_is_what_a_reader_sees() -> None:
    parsed = _parse(PAGE, 20)
    assert parsed.title == "Pumps & valves"
    settings = "Settings\n\nName\tValue\nspeed\t3 rpm\n\nfirst\nsecond boldly\n\n\nfor x in y:\n    print(x < 1)\n\n\n"
    assert [(chunk.heading, chunk.text) for chunk in parsed.chunks] == [
        ((), "Before any heading."),
        (("Using the pump",), "Using the pump\n\nTurn it “on”…\nthen wait."),
        (("Using the pump", "Settings"), settings + "Shown again."),
        (("Second",), "Second\n\nThe end."),
    ]


def test_offsets_lead_to_the_text_in_the_source() -> None:
    places = {chunk.text: PAGE[chunk.start : chunk.end] for chunk in _parse(PAGE, 5).chunks}
    assert places["Using the pump"] == "Using the <em>pump"
    assert places["Turn it “on”…\nthen wait."] == "Turn it &ldquo;on&rdquo;&hellip;<br>then wait."
    assert places["speed\t3 rpm"] == "speed</td><td>3&nbsp;rpm"
    assert places["first\nsecond boldly"] == "first<li>second <b>bold</b>ly"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a&lt b", "a< b"),
        ("a &#x41;&#66; &bogus; &copy2020 x", "a AB &bogus; ©2020 x"),
        ("x&#0;y&#xD800;z&#x110000;", "x\ufffdy\ufffdz\ufffd"),
        ("Donau&shy;dampf\u00adschiff", "Donaudampfschiff"),
        ("a & b < c", "a & b < c"),
        ("<p hidden>x<p>y", "y"),
        ("<ul><li hidden>x<ul><li>y</ul><li>z</ul>", "z"),
        ("<ul><li>a<li hidden>x</ul>after", "a\n\nafter"),
        ("<div hidden><div>x</div>y</div>z", "z"),
        ("<div aria-hidden=TRUE>x</div><div hidden=until-found>y</div>", "y"),
        ("<template><p>x</p></template><noscript>x</noscript>y", "y"),
        ("<script/>a", "a"),
        ("<svg><title>x</title></svg><title>t</title>y", "y"),
        ("<!-- x --><![CDATA[x]]><?php x ?>y", "y"),
        ("<textarea>x</textarea><select><option>x</select>y", "y"),
        ("</p></div></h1></pre>y", "y"),
        ("a<span>b</span>c <i> d</i> e", "abc d e"),
        ("a<br/>b", "a\nb"),
        ("<pre>\n  a\n\n  b</pre>", "a\n\n  b"),
    ],
)
def test_odd_markup(source: str, text: str) -> None:
    assert _texts(source) == [text]


def test_the_first_heading_is_the_title_where_there_is_no_other() -> None:
    assert _parse("<title> </title><h1>A <b>b</b></h1>x").title == "A b"
    assert _parse("<p>x").title is None


def test_a_heading_that_is_not_closed_ends_with_the_next() -> None:
    assert [(chunk.heading, chunk.text) for chunk in _parse("<h1>A<h2>B</h2>" + "c " * 12).chunks] == [
        (("A", "B"), "A\n\nB\n\nc c c c c c"),
        (("A", "B"), "c c c c c c"),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<meta charset=iso-8859-1>Gr\xfc\xdfe", "Grüße"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">\xcf\xf0\xe8', "При"),
        (b'<?xml version="1.0" encoding="Shift_JIS"?><html>\x93\xfa\x96{', "日本"),
        (b"<meta charset=utf-16>Gr\xc3\xbc", "Grü"),
        ("<meta charset=latin1>Grü".encode("utf-8-sig"), "Grü"),
        ("<p>Grü".encode("utf-16"), "Grü"),
    ],
)
def test_the_encoding_is_what_the_page_says(data: bytes, text: str) -> None:
    assert [chunk.text for chunk in parse(data, HTML, ChunkOptions(), 10).chunks] == [text]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<meta charset=unicode_escape>x", "encoding that is not known"),
        (b"<meta charset=klingon>x", "encoding that is not known"),
        (b"<p>Gr\xfc\xdfe", "not UTF-8 text"),
        (b"<p>x\0y", "NUL"),
        (b"<title>only</title><script>x</script><div hidden>x</div>", "no text"),
        (b"<p>&nbsp; <br>", "no text"),
    ],
)
def test_a_page_that_cannot_be_read_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(UnreadableDocument, match=says):
        parse(data, HTML, ChunkOptions(), 10)


@pytest.mark.parametrize(
    "source",
    [
        "<div>" * 100_000 + "deep",
        "<b>" * 50_000 + "deep" + "</b>" * 100_000,
        "<table><tr><td>" * 20_000 + "deep",
        "<ul><li hidden>" * 20_000 + "</ul>" * 20_000 + "deep",
        "<a " + "x=1 " * 50_000 + ">deep",
        "<!" * 50_000 + ">deep",
        "<!--" * 50_000 + "-->deep",
        "&" * 50_000 + "deep",
        "< " * 50_000 + "deep",
        "<h1>" * 20_000 + "deep",
        "<h1>x" * 20_000 + "deep",
        "<p>deep</p>" + "<pre>\n" * 20_000,
        "deep" + " \n" * 100_000,
        "deep" + "<!--" * 50_000,
        "deep" + "</" * 50_000,
        "deep" + "<a b='" * 50_000,
        "deep" + "<![CDATA[" * 50_000,
        "deep" + "<script>" * 50_000,
        "deep" + "&#x" * 50_000 + " deep",
    ],
    ids=lambda source: source.removeprefix("deep")[:9],
)
def test_markup_of_any_depth_is_read(source: str) -> None:
    assert any(chunk.text.endswith("deep") for chunk in _parse(source, 200).chunks)


_TAGS = "p /p div /div li ul /ul pre /pre h1 /h1 h3 td tr br script /script i /i title /title"
_PIECES = st.sampled_from(
    [f"<{tag}>" for tag in _TAGS.split(" ")]
    + ["<div hidden>", "<p hidden>", "<b x='>'>", "<!--", "-->", "&amp;", "&lt", "&#65;", "&nbsp;", "&", "<", ">", '"']
    + ["word", "two words", "  ", "\n", "\t x", "é日", "\u00ad"]
)


@given(pieces=st.lists(_PIECES, max_size=60), size=st.integers(1, 20))
def test_every_chunk_begins_and_ends_where_its_place_says(pieces: list[str], size: int) -> None:
    source = "<p>Start</p>" + "".join(pieces)
    last = 0
    for chunk in _parse(source, size).chunks:
        place = source[chunk.start : chunk.end]
        assert place.startswith(chunk.text[0]) or unescape(place)[0] == chunk.text[0]
        assert place.endswith(chunk.text[-1]) or unescape(place)[-1] == chunk.text[-1]
        visible = re.sub(r"\s|\u00ad", "", chunk.text)
        assert _is_within(visible, re.sub(r"\s", "", unescape(place)))
        assert last <= chunk.start < chunk.end
        last = chunk.end


def _is_within(part: str, whole: str) -> bool:
    """Whether `part` is left when some characters of `whole` are taken away."""
    rest = iter(whole)
    return all(character in rest for character in part)


@pytest.mark.parametrize("name", ["iso-8859-12", "windows-1259", "cp1259", "x-unknown"])
def test_an_encoding_that_does_not_exist_is_named_as_the_fault(name: str) -> None:
    """One that only looked like a name ended the worker process, and the answer spoke of memory."""
    with pytest.raises(UnreadableDocument, match="encoding that is not known"):
        html.read(f'<meta charset="{name}"><p>words'.encode(), ChunkOptions())


def test_thai_pages_are_read_as_they_declare() -> None:
    (chunk,) = html.read("<meta charset=windows-874><p>สวัสดี".encode("cp874"), ChunkOptions()).chunks
    assert chunk.text == "สวัสดี"
