"""Markup that escapes whatever isn't markup."""

import json
from html.parser import HTMLParser

import pytest

from seq2seq.report.markup import Markup, data_block, element, join, table

EVIL = "<script>alert('1')</script> & \"quoted\" </title>"


class Seen(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_and_attributes_are_escaped_once() -> None:
    seen = Seen(element("p", {"title": EVIL, "hidden": True, "id": None, "lang": False}, EVIL, element("b", None, "<")))
    assert seen.tags == [("p", {"title": EVIL, "hidden": None}), ("b", {})]
    assert seen.text == EVIL + "<"


def test_join_and_table_escape_too() -> None:
    assert join(["<", Markup("<br>"), None, 3], "&") == "&lt;&amp;<br>&amp;3"
    seen = Seen(table([EVIL], [[EVIL, EVIL]]))
    assert seen.text == EVIL * 3
    assert {tag for tag, _ in seen.tags} == {"div", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize(
    "text",
    [
        EVIL,
        "</script>",
        "</ScRiPt >",
        "<!--<script>",
        "]]>",
        "a\u2028b\u2029c",
        "\\u003c",
        "\x00\x1f\x7f",
        "\ud800 alone",
        "😀",
    ],
)
def test_data_in_a_page_is_read_back_and_ends_no_element(text: str) -> None:
    class Block(Seen):
        CDATA_CONTENT_ELEMENTS = ("script",)

    block = Block(data_block("it", {text: [text]}) + "<p>after</p>")
    assert [tag for tag, _ in block.tags] == ["script", "p"]
    assert json.loads(block.text.removesuffix("after")) == {text: [text]}
    data_block("it", text).encode("utf-8")  # it can be written
