"""A report read back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def block(page: Path, number: int) -> dict[str, Any]:
    """What the page knows of a test set; each side of a sentence as its text."""
    content = page.read_text(encoding="utf-8")
    found = re.search(rf'<script type="application/json" id="set-{number}">(.*?)</script>', content, re.DOTALL)
    assert found
    known = dict(json.loads(found[1]))
    known["sentences"] = [
        {**sentence, **{side: line(sentence[side]) for side in "shr"}} for sentence in known["sentences"]
    ]
    return known


def line(side: str | list[Any]) -> str:
    """The text of a side: it stands alone, or before its words."""
    return side if isinstance(side, str) else str(side[0])
