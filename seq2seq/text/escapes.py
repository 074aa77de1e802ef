"""Characters that SentencePiece can't be given as they are, spelled with an escape character in front.

SentencePiece writes a space as U+2581 and skips training lines with U+2585, so both are escaped, and so is the escape
character (private use) itself. Lone surrogates have no UTF-8 and become U+FFFD.
"""

import re

ESCAPE = "\ue581"
ESCAPED = {"\u2581": ESCAPE + "_", "\u2585": ESCAPE + "=", ESCAPE: ESCAPE + ESCAPE}
UNESCAPED = {escaped: character for character, escaped in ESCAPED.items()}
TO_ESCAPE = re.compile("[\u2581\u2585\ue581\ud800-\udfff]")
TO_UNESCAPE = re.compile(ESCAPE + "[_=" + ESCAPE + "]")


def escape(line: str) -> str:
    """The line as SentencePiece is given it; each character is escaped by itself."""
    return TO_ESCAPE.sub(lambda match: ESCAPED.get(match[0], "\ufffd"), line)


def unescape(text: str) -> str:
    """What `escape` was given, but for surrogates."""
    return TO_UNESCAPE.sub(lambda match: UNESCAPED[match[0]], text)
