"""Which characters of a line each piece stands for, out of SentencePiece's own alignment."""

from collections.abc import Iterator, Sequence

SPACE = "\u2581".encode()
PIECES = 2  # field of a SentencePieceText message
PIECE, BEGIN, END = 1, 4, 5  # fields of each of its pieces; begin and end count bytes of the text
VARINT, LENGTH_DELIMITED, FIXED32 = 0, 2, 5  # wire types of protocol buffers


def read_spans(serialized: bytes, owners: Sequence[int]) -> list[tuple[int, int]]:
    """(first, last + 1) characters of each piece of a serialized SentencePieceText.

    owners: the character that each byte of the text belongs to. SentencePiece aligns a character that it cut into
    several bytes, or normalised to several pieces, with the last of these alone; here each of them has its span. The
    space that it put before the line has an empty one.

    The message is read here, in a dozen lines, because the ways in which SentencePiece itself shows it differ between
    versions (immutable_proto, offset_mapping) or need the protobuf package.
    """
    spans: list[tuple[int, int]] = []
    waiting = 0  # pieces of a character that isn't complete yet
    for number, message in _fields(serialized):
        if number != PIECES or not isinstance(message, bytes):
            continue
        fields = dict(_fields(message))
        begin, end = int(fields.get(BEGIN, 0)), int(fields.get(END, 0))
        if begin < end:
            span = (owners[begin], owners[end - 1] + 1)
            spans[len(spans) - waiting :] = [span] * (waiting + 1)
            waiting = 0
        else:
            place = owners[begin] if begin < len(owners) else (owners[-1] + 1 if owners else 0)
            spans.append((place, place))
            waiting = 0 if fields.get(PIECE) == SPACE else waiting + 1
    return spans


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message's fields, in order."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire_type = tag & 7
        if wire_type == VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        size = 4
        if wire_type == LENGTH_DELIMITED:
            size, place = _varint(message, place)
        elif wire_type != FIXED32:
            raise ValueError(f"wire type {wire_type} isn't one of SentencePieceText")
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
