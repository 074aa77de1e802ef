"""HTML and SVG as values: whatever isn't markup already is text, and is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

VOID = frozenset({"circle", "col", "input", "line", "path", "rect"})  # elements that hold nothing


class Markup(str):
    """Finished markup, put into a page as it stands."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, Any] | None = None, *content: object) -> Markup:
    """<name attributes>content</name>; an attribute that is None or False is left out, True stands alone."""
    opened = [name]
    for key, value in (attributes or {}).items():
        if value is not None and value is not False:
            opened.append(key if value is True else f'{key}="{html.escape(str(value))}"')
    start = " ".join(opened)
    return Markup(f"<{start}/>" if name in VOID else f"<{start}>{join(content)}</{name}>")


def join(content: Iterable[object], between: str = "") -> Markup:
    """The parts as one piece of markup; None is nothing."""
    return Markup(html.escape(between).join(_escaped(part) for part in content if part is not None))


def data_block(identity: str, content: Any) -> Markup:
    """Plain data that the page's script reads; no text in it can end the element or begin another."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # JSON's own spelling of whatever means something to an HTML parser, or ends a line in old JavaScript
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # a lone surrogate can't be written as UTF-8; JSON can spell it
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return Markup(f'<script type="application/json" id="{html.escape(identity)}">{text}</script>')


def table(head: Iterable[object], rows: Iterable[Iterable[object]], name: str = "") -> Markup:
    """A table that scrolls on a narrow screen; a row's first cell is its heading."""
    heads = [element("th", {"scope": "col"}, cell) for cell in head]
    lines = []
    for row in rows:
        first, *rest = row
        cells = [element("th", {"scope": "row"}, first), *(element("td", None, cell) for cell in rest)]
        lines.append(element("tr", None, *cells))
    inner = element(
        "table", {"class": name or None}, element("thead", None, element("tr", None, *heads)),
        element("tbody", None, *lines),
    )  # fmt: skip
    return element("div", {"class": "scroll", "tabindex": 0}, inner)


def _escaped(part: object) -> str:
    return part if isinstance(part, Markup) else html.escape(str(part))
