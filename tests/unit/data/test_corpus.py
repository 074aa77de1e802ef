"""Reading: what is a line, what is an error and what it says; encoding: which pairs remain, in which tensors."""

import gzip
import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data import corpus as module
from seq2seq.data.corpus import (
    EncodedCorpus,
    ParallelText,
    drop_blank,
    overlap,
    read_lines,
    read_parallel,
    sha256,
    side_path,
    split_valid,
)
from seq2seq.errors import DataError
from seq2seq.text.tokenizer import TokenizerPair

ODD_NAME = "tëst ~[1],a=b (x)"


def written(path: Path, content: str | bytes) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def text_of(*pairs: tuple[str, str]) -> ParallelText:
    return ParallelText("train", [source for source, _ in pairs], [target for _, target in pairs], ())


def message(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(DataError) as raised:
        call(*arguments)
    return str(raised.value)


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    options = {"model_type": "char", "vocab_size": "auto", "character_coverage": 1.0}
    return TokenizerPair.train(["abc def"], ["uvw xyz"], shared=False, **options)


# --- lines


@pytest.mark.parametrize("name", ["x.de", "x.de.gz", f"{ODD_NAME}.de"])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\n\n", ["a", ""]),
        ("\n", [""]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\r\r\nb\r", ["a\r", "b"]),
        ("a\rb\n", ["a\rb"]),
        ("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]),
        ("a\u2028b\x85c\x0bd\x0ce\x1cf\n g \n", ["a\u2028b\x85c\x0bd\x0ce\x1cf", " g "]),
        ("Tür\0\t漢😀\n", ["Tür\0\t漢😀"]),
    ],
)
def test_lines_end_at_newlines_alone(tmp_path: Path, name: str, content: str, lines: list[str]) -> None:
    assert read_lines(written(tmp_path / name, content)) == lines


@given(lines=st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))))
@settings(deadline=None, database=None)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.de"
    path.write_bytes("".join(f"{line}\r\n" for line in ["", *lines]).encode())
    assert read_lines(path) == ["", *lines]


@pytest.mark.parametrize("name", ["x.de", f"{ODD_NAME}.de", "it's.de.gz"])
def test_a_byte_that_is_no_utf8_is_named_and_the_advice_mends_it(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, "ja\nüber café".encode() + b"\n" + "ü caf".encode() + b"\xe9 \xff\nnein\n")
    text = message(read_lines, path)
    where, command = text.split("; convert it with: ")
    assert where == f"{path}, line 3: not valid UTF-8 (byte 0xE9 at column 6)"
    if name == "x.de":
        assert command == f"iconv -f latin1 -t utf-8 {path} > NEWFILE"
    subprocess.run(command.replace("NEWFILE", "mended"), shell=True, check=True, cwd=tmp_path)
    assert read_lines(tmp_path / "mended")[3] == "nein"


@pytest.mark.parametrize(("broken", "byte", "column"), [(b"ab\xc3", 0xC3, 3), (b"\xed\xa0\x80", 0xED, 1)])
def test_cut_characters_and_surrogates_are_no_utf8(tmp_path: Path, broken: bytes, byte: int, column: int) -> None:
    path = written(tmp_path / "x.de", broken)
    assert message(read_lines, path).startswith(
        f"{path}, line 1: not valid UTF-8 (byte 0x{byte:02X} at column {column}); convert it with: iconv -f latin1"
    )


def test_utf16_is_recognised(tmp_path: Path) -> None:
    path = written(tmp_path / "x.de", "Tür\n".encode("utf-16"))
    assert message(read_lines, path) == (
        f"{path}, line 1: not valid UTF-8 (byte 0xFF at column 1); "
        f"convert it with: iconv -f utf-16 -t utf-8 {path} > NEWFILE"
    )


def test_missing_files_are_named_with_what_is_there_instead(tmp_path: Path) -> None:
    for name in ("train.de", "train.en", "notes"):
        written(tmp_path / name, "x")
    assert message(read_lines, tmp_path / "trian.de") == (
        f"{tmp_path}/trian.de: no such file; {tmp_path} has train.de, train.en"
    )
    assert message(read_lines, tmp_path / "quite-else") == f"{tmp_path}/quite-else: no such file"
    assert message(read_lines, tmp_path / "no" / "x.de") == (
        f"{tmp_path}/no/x.de: no such file; there is no folder {tmp_path}/no"
    )


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    assert message(read_lines, tmp_path) == f"{tmp_path}: can't be read: Is a directory"
    (tmp_path / "x.gz").write_bytes(b"plain")
    assert message(read_lines, tmp_path / "x.gz") == (
        f"{tmp_path}/x.gz: not a complete gzip file (Not a gzipped file (b'pl'))"
    )
    (tmp_path / "y.gz").write_bytes(gzip.compress(os.urandom(5000).hex().encode())[:-2000])
    assert message(read_lines, tmp_path / "y.gz").startswith(f"{tmp_path}/y.gz: not a complete gzip file (Compressed ")


# --- sides


def test_a_side_is_plain_or_packed(tmp_path: Path) -> None:
    prefix = tmp_path / ODD_NAME
    packed = written(tmp_path / f"{ODD_NAME}.de.gz", "x")
    assert side_path(prefix, "de") == side_path(str(prefix), "de") == packed
    plain = written(tmp_path / f"{ODD_NAME}.de", "x")
    assert side_path(prefix, "de") == plain


def test_a_missing_side_is_named_with_its_neighbours(tmp_path: Path) -> None:
    for name in ("train.fr", "train.en", "valid.de"):
        written(tmp_path / name, "x")
    train = tmp_path / "train"
    assert message(side_path, train, "de") == (
        f"neither {train}.de nor {train}.de.gz is a file; {tmp_path} has train.en, train.fr"
    )
    assert message(side_path, tmp_path / "test", "de") == (
        f"neither {tmp_path}/test.de nor {tmp_path}/test.de.gz is a file"
    )
    assert message(side_path, tmp_path / "no" / "x", "de") == (
        f"neither {tmp_path}/no/x.de nor {tmp_path}/no/x.de.gz is a file; there is no folder {tmp_path}/no"
    )


def test_prefixes_are_read_one_after_the_other(tmp_path: Path) -> None:
    files = (
        written(tmp_path / "a.de", "eins\n\n"),
        written(tmp_path / "a.en", "one\ntwo"),
        written(tmp_path / "b.de.gz", "drei\n"),
        written(tmp_path / "b.en", "three\r\n"),
    )
    text = read_parallel([f"{tmp_path}/a", f"{tmp_path}/b"], "de", "en", "train")
    assert text == ParallelText("train", ["eins", "", "drei"], ["one", "two", "three"], files)
    assert len(text) == 3


def test_sides_of_unequal_length_are_refused(tmp_path: Path) -> None:
    a, b = written(tmp_path / "x.de", "1\n2\n3\n"), written(tmp_path / "x.en", "1\n2\n")
    assert message(read_parallel, [f"{tmp_path}/x"], "de", "en", "valid") == (
        f"{a} has 3 lines but {b} has 2; line i of one must be the translation of line i of the other"
    )


@pytest.mark.parametrize(("source", "target"), [("", ""), ("\n \n", "\n\n"), ("a\n \n", "\nb\n")])
def test_an_empty_corpus_is_refused(tmp_path: Path, source: str, target: str) -> None:
    a, b = written(tmp_path / "x.de", source), written(tmp_path / "x.en", target)
    assert message(read_parallel, [f"{tmp_path}/x"], "de", "en", "train") == (
        f"train: no line has text on both sides in {a}, {b}"
    )


# --- pairs


def test_blank_pairs_are_dropped_and_counted() -> None:
    text = text_of(("a", "A"), ("", "B"), ("c", " \t"), ("\u00a0", ""), (" d", "D "))
    kept, dropped = drop_blank(text)
    assert kept == text_of(("a", "A"), (" d", "D "))
    assert dropped == 3


def test_a_split_is_a_partition_that_depends_on_the_seed_alone() -> None:
    text = text_of(*((f"s{i}", f"t{i}") for i in range(40)))
    train, valid = split_valid(text, 10, seed=3)
    assert (len(train), len(valid)) == (30, 10)
    assert (train.name, valid.name) == ("train", "valid")
    pairs = [*zip(train.source, train.target, strict=True), *zip(valid.source, valid.target, strict=True)]
    assert sorted(pairs) == sorted(zip(text.source, text.target, strict=True))
    assert split_valid(text, 10, seed=3) == (train, valid)
    assert split_valid(text, 10, seed=4) != (train, valid)
    assert train.source == [line for line in text.source if line in set(train.source)]  # order is kept


def test_a_split_must_leave_something() -> None:
    text = text_of(("a", "A"), ("b", "B"))
    assert len(split_valid(text, 1, seed=1)[0]) == 1
    assert message(split_valid, text, 2, 1) == (
        "data.valid_split=2 leaves nothing to train on: train has 2 pairs; set a smaller data.valid_split"
    )


def test_overlap_counts_lines_that_occur_in_training() -> None:
    assert overlap(["a", "b", "a", "", " "], {"a", "c", "", " "}) == 2
    assert overlap(iter(["a", "b"]), iter(["x", "b"])) == 1
    assert overlap([], ["a"]) == 0


def test_sha256_is_of_the_files_bytes(tmp_path: Path) -> None:
    for name in ("x.de", "x.de.gz"):
        path = written(tmp_path / name, "Tür\n" * 100_000)
        assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


# --- encoding


def test_encoding_keeps_order_ids_and_lengths(tokenizers: TokenizerPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENCODED_AT_ONCE", 2)
    text = text_of(("abc", "uv"), ("", "x"), ("d e f", ""), ("a", "uvw xyz"), ("ü", "y"))
    corpus, dropped = EncodedCorpus.encode(text, tokenizers, None)
    assert (len(corpus), dropped) == (5, 0)
    for i in range(5):
        source, target = corpus.pair(i)
        assert source.tolist() == tokenizers.source.encode(text.source[i])
        assert target.tolist() == tokenizers.target.encode(text.target[i])
    assert corpus.source.dtype == corpus.target.dtype == torch.int32
    assert corpus.source_lengths.dtype == corpus.target_offsets.dtype == torch.int64
    assert corpus.source_lengths.tolist() == [4, 0, 6, 2, 3]  # characters, the space in front, and ü as two bytes
    assert corpus.target_lengths.tolist() == [3, 2, 0, 8, 2]


def test_pairs_too_long_on_either_side_are_dropped_and_counted(tokenizers: TokenizerPair) -> None:
    text = text_of(("abc", "uv"), ("abcd", "u"), ("a", "uvwx"), ("ab", "uvw"))  # one piece more than characters
    corpus, dropped = EncodedCorpus.encode(text, tokenizers, 4)
    assert dropped == 2
    assert [corpus.pair(i)[0].tolist() for i in range(2)] == [tokenizers.source.encode(line) for line in ("abc", "ab")]
    assert message(EncodedCorpus.encode, text, tokenizers, 2) == (
        "train: none of the 4 pairs is within data.max_length=2 pieces on both sides; raise data.max_length"
    )


def test_ids_make_the_same_corpus(tokenizers: TokenizerPair) -> None:
    text = text_of(("abc", "uv"), ("d e f", "x"))
    encoded, _ = EncodedCorpus.encode(text, tokenizers, None)
    sources, targets = tokenizers.source.encode_batch(text.source), tokenizers.target.encode_batch(text.target)
    given_ids = EncodedCorpus.from_ids(sources, targets)
    for name in ("source", "source_offsets", "source_lengths", "target", "target_offsets", "target_lengths"):
        assert torch.equal(getattr(given_ids, name), getattr(encoded, name))
