"""Whatever bytes come in: a line out for each, that line's own, however the run was cut and begun again."""

import json
import logging
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.commands import TranslateConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation import filter as module
from seq2seq.evaluation import item, output
from seq2seq.evaluation.filter import translate
from seq2seq.evaluation.item import Line
from seq2seq.evaluation.output import Written
from seq2seq.evaluation.searching import override
from seq2seq.evaluation.source import LINE_BREAKS, is_blank, one_line
from seq2seq.evaluation.translator import Translator
from seq2seq.text.tokenizer import Tokenizer

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind findet den Weg nach Hause"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child finds the way home"]
HOSTILE = [
    b"", b"\r", b"\0", b"\0" * 50, b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f", b"\xc3", b"\x80" * 9,
    *(text.encode() for text in (
        "\ufeff", "Hund\ufeff", "\u200b", "\u2028", "\u202eHund", "\u200f\u200e", " \t\u3000\u00a0", "\u0085", "\x1c",
        "Ein\u2028Hund", "\r\rHund\r", "<s>", "</s> Hund <unk><pad>", "\u2581", "\u2581 Hund\u2581", "<0x41><0x0A>",
        "\u0915\u094d\u0937 \U00012000 \U0001f9d1\u200d\U0001f680 \ue000 \U0010ffff", "Hund " * 60,
        "e" + "\u0301" * 100_000,        '{"text": 1', "[" * 300, '"\\ud800"', "../../etc/passwd", "%s %d {} $(x)",
    )),
]  # fmt: skip
LINES = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from([line.encode() for line in SOURCES]),
    st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")),
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12).map(str.encode),
)
TEXTS = st.text(max_size=15) | st.sampled_from([*SOURCES, "a\nb", "\ud800", "x\u2028y\x85", "\x1c\x1d\x1e"])
SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def translator(make_translator):
    """Bytes for what it doesn't know, and short translations."""
    made = make_translator(SOURCES * 5, TARGETS * 5, "bpe", "gru", "bahdanau")
    search = override(made.search, {"beam_size": 2, "max_length": 8, "max_source_length": 40})
    return Translator(made.model, made.tokenizers, made.limit, search, made.runtime)


@pytest.fixture
def run(translator, tmp_path, monkeypatch):
    """Bytes in, bytes out, through files; `before` is what the output's file has already."""
    monkeypatch.setattr(Translator, "load", lambda *_, **__: translator)
    source, target = tmp_path / "in", tmp_path / "out"

    def run(content, before=None, **options):
        source.write_bytes(content)
        if before is None:
            target.unlink(missing_ok=True)
        else:
            target.write_bytes(before)
        translate(TranslateConfig.from_dict({"run": "x", "input": str(source), "output": str(target), **options}))
        return target.read_bytes()

    return run


def joined(lines):
    return b"".join(line + b"\n" for line in lines)


def as_json(texts):
    return joined(json.dumps({"text": text}).encode() for text in texts)


def same(one, other):
    """Whether two lines of JSON say the same, scores and attention within rounding."""
    one, other = json.loads(one), json.loads(other)
    numbers = []
    for line in (one, other):
        taken = [h.pop(key, []) for h in line["hypotheses"] for key in ("score", "log_prob", "attention")]
        numbers.append([number for part in taken for number in flat(part)])
    return one == other and numbers[0] == pytest.approx(numbers[1], abs=1e-4)


def flat(numbers):
    return [number for part in numbers for number in flat(part)] if isinstance(numbers, list) else [numbers]


# --- one line in, one line out


@SLOW
@given(st.lists(LINES, max_size=9), st.integers(1, 4))
def test_a_line_out_for_each_line_in_and_its_own(run, lines, batch_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCHES_READ", 2)
        out = run(joined(lines), batch_size=batch_size)
    assert out.decode().splitlines() == out.decode().split("\n")[:-1]  # no reader finds other lines in it
    got = out.split(b"\n")[:-1]
    assert len(got) == len(lines)
    for i, line in enumerate(lines):  # alone, and never the first: only there a byte order mark is none of the text
        alone = run(line + b"\n") if i == 0 else run(b"\n" + line + b"\n").removeprefix(b"\n")
        assert alone == got[i] + b"\n"
    if lines and lines[-1]:  # the last needs no end
        assert run(joined(lines).removesuffix(b"\n"), batch_size=batch_size) == out


@SLOW
@given(st.lists(TEXTS, max_size=6), st.integers(1, 4))
def test_a_line_of_json_for_each_text_and_its_own(run, texts, batch_size):
    out = run(as_json(texts), input_format="json", batch_size=batch_size)
    got = out.decode().splitlines()
    assert [json.loads(line)["source"] for line in got] == [text.replace("\n", " ") for text in texts]
    for text, line in zip(texts, got, strict=True):
        assert same(run(as_json([text]), input_format="json"), line)


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: ascii(line[:12]))
def test_hostile_lines_shift_no_others(run, line):
    good = SOURCES[0].encode()
    first, got, last = run(joined([good, line, good])).split(b"\n")[:-1]
    assert first == last == run(good)[:-1]
    first, got, last = run(joined([good, line, good]), attention=True).decode().splitlines()
    assert same(first, last)
    text = line.removesuffix(b"\r").decode(errors="replace")
    assert json.loads(got)["source"] == text
    assert (json.loads(got)["source_tokens"] == ["</s>"]) == is_blank(text)


def test_line_breaks_are_those_of_every_reader():
    python = [chr(c) for c in range(0x110000) if len(f"a{chr(c)}b".splitlines()) > 1]
    assert sorted(LINE_BREAKS) == python  # those of Unicode's UAX 14 and of Unix tools are among them
    assert one_line("a" + "a".join(LINE_BREAKS) + "a") == "a " * len(LINE_BREAKS) + "a"
    assert one_line("a\tb\u00a0c\x1fd") == "a\tb\u00a0c\x1fd"


def test_a_translation_has_none_of_them(run, translator, monkeypatch):
    monkeypatch.setattr(Tokenizer, "decode", lambda *_: "a" + LINE_BREAKS + "b")
    assert run(b"Hund\n") == b"a" + b" " * 10 + b"b\n"
    monkeypatch.setattr(Tokenizer, "pieces", lambda _, ids: ["\u2028\ud800"] * len(list(ids)))
    out = run(as_json(["x" + LINE_BREAKS[1:] + "y\ud800"]), input_format="json", attention=True)
    assert len(out.decode().splitlines()) == 1
    assert json.loads(out)["source"] == "x" + LINE_BREAKS[1:] + "y\ud800"
    assert json.loads(out)["source_tokens"][0] == "\u2028\ud800"


BLANK = [
    "", " \t", "\u3000\u00a0\u2003", "\u2028", "\u0085\x1c", "\u200b", "\ufeff\ufeff", "\u200e\u200f\u202e", "\0\x07",
    "\u00ad",
]  # fmt: skip
SEEN = ["a", " . ", "\u200b!", "\u0301", "\ufffd", "\u0378", "\U00012000", "\ue000", "\u2581"]


@pytest.mark.parametrize("text", BLANK, ids=ascii)
def test_a_line_with_nothing_to_see_is_blank(run, text):
    assert is_blank(text)
    assert run(b"\n" + text.encode() + b"\n") == b"\n\n"
    with pytest.raises(DataError, match=r"^line 1: a prefix needs a text"):
        run(json.dumps({"text": text, "prefix": "the"}).encode(), input_format="json")


@pytest.mark.parametrize("text", SEEN, ids=ascii)
def test_a_line_with_something_to_see_is_not(text):
    assert not is_blank(text), unicodedata.category(text[-1])


# --- long lines


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(item, "LONGEST_LINE", 10)


@pytest.fixture
def said(caplog, monkeypatch):
    """The warnings."""
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    caplog.set_level(logging.WARNING, "seq2seq")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", range(7, 36))
def test_a_long_line_is_cut_and_the_next_one_is_whole(short, tmp_path, size, end):
    (tmp_path / "file").write_bytes(b"x" * size + end + (b"next" + end) * bool(end))
    with (tmp_path / "file").open("rb") as file:
        first, *rest = Line.read(file)
    assert first == (1, b"x" * min(size, 10), size <= 10)
    assert rest == ([(2, b"next", True)] if end else [])


@pytest.mark.parametrize("before", range(4))
def test_no_character_is_cut_through(short, before):
    text, remarks = Line(1, ("x" * before + "😀" * 5).encode()[:10], False).decode()
    assert text == "x" * before + "😀" * ((10 - before) // 4)
    assert remarks == ["longer than 10 bytes, of which no more are read"]


def test_one_warning_for_all_that_befell_a_line(run, short, said, monkeypatch, translator):
    monkeypatch.setattr(translator, "search", override(translator.search, {"max_source_length": 4}))
    out = run(b"uns\n" + b"\xff" + b"x y z " * 9 + b"\nuns\n\xff\n" + "é".encode() * 6 + b"\n")
    assert len(out.splitlines()) == 5
    second, fourth, fifth = said()
    assert second.startswith(
        "line 2: longer than 10 bytes, of which no more are read; not valid UTF-8 (byte 0xFF); U+FFFD put in its "
        "place; cut from "
    )
    assert second.endswith(" to 4 tokens (search.max_source_length)")
    assert fourth == "line 4: not valid UTF-8 (byte 0xFF); U+FFFD put in its place"
    assert fifth.startswith("line 5: longer than 10 bytes, of which no more are read; cut from 1")


def test_a_long_line_of_json_is_an_error(run, monkeypatch):
    monkeypatch.setattr(item, "LONGEST_LINE", 40)
    with pytest.raises(DataError) as raised:
        run(as_json(["uns", "uns " * 10, "uns"]), input_format="json")
    assert str(raised.value) == (
        "line 2: longer than 40 bytes, the most that is read of a line, so that it isn't a whole object; shorten it"
    )


class Endless:
    """A file with lines of gigabytes, of which `read` bytes were asked for."""

    def __init__(self, size):
        self.left, self.size = size, size

    def readline(self, most):
        self.left -= most
        return b"a" * most if self.left > 0 else b"\n" if self.left > -(1 << 40) else b""


def test_a_line_of_gigabytes_takes_the_memory_of_one_that_is_read():
    tracemalloc.start()
    try:
        first = next(Line.read(Endless(4 << 30)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(first.content), first.whole) == (item.LONGEST_LINE, False)
    assert peak < 6 * item.LONGEST_LINE


def test_long_lines_are_not_read_ahead(run, monkeypatch, translator):
    monkeypatch.setattr(module, "BYTES_READ", 100)
    sizes = []
    real = translator.translate_read
    monkeypatch.setattr(translator, "translate_read", lambda lines, **k: sizes.append(len(lines)) or real(lines, **k))
    assert len(run(b"uns\n" * 40 + (b"u" * 150 + b"\n") * 3 + b"uns\n").splitlines()) == 44
    assert sizes == [34, 7, 1, 1, 1]  # 34 times three bytes are a hundred; then six more and a long one; and so on


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "word"])
def test_the_longest_line_is_cut_into_pieces_in_no_time(kind):
    """A tenth of a second where the time grows with the length, minutes where it grows with the length's square."""
    tokenizer = Tokenizer.train(SOURCES * 20, model_type=kind, vocab_size=300 if kind == "bpe" else "auto")
    start = time.process_time()
    for text in ("a", "der Hund ", "\u0301", "\u2581"):
        tokenizer.encode((text * item.LONGEST_LINE).encode()[: item.LONGEST_LINE].decode(errors="ignore"))
    assert time.process_time() - start < 10


def test_a_message_shows_no_more_of_a_strangers_words_than_it_needs(run):
    with pytest.raises(DataError) as raised:
        run(json.dumps({"text": "x", "focus": ["\x1b[2J\n" + "y" * 10_000]}).encode(), input_format="json")
    assert str(raised.value).startswith('line 1: the focus "\\x1b[2J ' + "y" * 75 + '..." is not in the text')
    with pytest.raises(DataError) as raised:
        run(json.dumps({f"key {i}": i for i in range(1000)}).encode(), input_format="json")
    assert len(str(raised.value).splitlines()) == 11
    assert str(raised.value).endswith("\nline 1: and 991 faults more")


# --- resume


@SLOW
@given(st.lists(LINES, max_size=9), st.integers(1, 3), st.booleans(), st.data())
def test_resumed_from_any_prefix_the_output_is_that_of_one_run(run, lines, batch_size, as_objects, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCHES_READ", 2)
        patch.setattr(module, "BYTES_READ", 60)
        options = {"batch_size": batch_size, "attention": as_objects}
        content = joined(lines)
        out = run(content, **options)
        size = data.draw(st.integers(0, len(out)))
        assert run(content, before=out[:size], resume=True, **options) == out
        assert run(content, before=out, resume=True, **options) == out
        assert run(content, resume=True, **options) == out  # nothing there yet


@pytest.fixture
def log(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    caplog.set_level(logging.INFO, "seq2seq")
    return lambda: [record.getMessage() for record in caplog.records]


def test_it_says_where_it_goes_on(run, log, tmp_path):
    content = joined([line.encode() for line in SOURCES])
    out = run(content)
    lines = out.splitlines(keepends=True)
    assert not log()
    run(content, before=b"".join(lines[:2]) + b"torn", resume=True)
    run(content, before=b"torn", resume=True)
    run(content, before=out, resume=True)
    assert log() == [
        f"output={tmp_path / 'out'} has 2 lines: going on with line 3",
        f"output={tmp_path / 'out'} has 0 lines: going on with line 1",
        f"output={tmp_path / 'out'} has 3 lines, as many as the input: nothing to do",
    ]


def test_lines_keep_their_numbers_and_the_mark_its_place(run, said):
    content = "\ufeffuns\nuns\n".encode() + b"\xff\n"
    out = run(content, batch_size=1)
    assert run(content, before=out[: out.index(b"\n") + 1], batch_size=1, resume=True) == out
    assert said() == ["line 3: not valid UTF-8 (byte 0xFF); U+FFFD put in its place"] * 2


def test_a_character_torn_in_the_middle(run, translator, monkeypatch):
    monkeypatch.setattr(Tokenizer, "decode", lambda *_: "é€😀")
    content = joined([line.encode() for line in SOURCES])
    out = run(content)
    assert out == joined(["é€😀".encode()] * 3)
    for size in range(len(out)):
        assert run(content, before=out[:size], resume=True) == out


@pytest.mark.parametrize("before", [b"a\n" * 4, b"a\n" * 3 + b"torn", b"a\n" * 2_000_000])
def test_more_lines_than_the_input_can_give_are_left_alone(run, tmp_path, before):
    with pytest.raises(ConfigError) as raised:
        run(b"a\n" * 3, before=before, resume=True)
    count = before.count(b"\n") + before.endswith(b"torn")
    assert str(raised.value) == (
        f"output={tmp_path / 'out'} has {count:,} lines, but the input only 3, so it can't be its translation; name "
        "another file, or leave resume out to write it anew"
    )
    assert (tmp_path / "out").read_bytes() == before


def test_a_line_that_cant_be_used_stays_so(run, tmp_path):
    content = as_json(SOURCES) + b"{\n" + as_json(SOURCES)
    for before in (None, None, b"torn"):
        if before is None and (tmp_path / "out").exists():
            before = (tmp_path / "out").read_bytes()
        with pytest.raises(DataError, match=r"^line 4: not valid JSON "):
            run(content, before=before, input_format="json", resume=True)
        assert (tmp_path / "out").read_bytes().count(b"\n") == 3
    mended = content.replace(b"{\n", b"\n")
    out = run(mended, before=(tmp_path / "out").read_bytes(), input_format="json", resume=True)
    expected = run(mended, input_format="json")
    assert all(same(*pair) for pair in zip(out.splitlines(), expected.splitlines(), strict=True))


def test_what_can_not_be_resumed(run, tmp_path):
    with pytest.raises(ConfigError, match=r"^resume=true goes on with a file, and output=- is none; set output=FILE$"):
        run(b"", output="-", resume=True)
    with pytest.raises(ConfigError, match=r"^output=/dev/null is no file whose lines resume=true could count; leave "):
        run(b"", output="/dev/null", resume=True)
    with pytest.raises(ConfigError, match=r" is the input, which would be lost before it is read; name another file$"):
        run(b"a\n", output=str(tmp_path / "in"), resume=True)


def test_lines_are_counted_a_block_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "BLOCK", 4)
    for content in (b"", b"\n", b"abcd", b"abc\n", b"a\nbcdefgh\ni", b"abcdefghijkl\n", b"abcd\nefgh\n\n\nxyz1234"):
        (tmp_path / "file").write_bytes(content)
        whole = content[: content.rfind(b"\n") + 1]
        name = str(tmp_path / "file")
        assert Written.of(name) == (name, content.count(b"\n"), len(whole), whole != content)
    assert Written.of("no such file") == ("no such file", 0, None, False)
