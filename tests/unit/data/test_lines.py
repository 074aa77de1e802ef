"""Reading: what is a line, what is an error and what it says."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data import lines as module
from seq2seq.data.lines import LineReader, read_aligned, read_lines, side_path
from seq2seq.errors import DataError

ODD_NAME = "tëst ~[1],a=b (x)"


def written(path: Path, content: str | bytes) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def message(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(DataError) as raised:
        call(*arguments)
    return str(raised.value)


def test_files_that_belong_together_have_as_many_lines(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", "a\nb\n"), written(tmp_path / "other", "c\nd")
    assert read_aligned(one, other, one) == [["a", "b"], ["c", "d"], ["a", "b"]]
    short, empty = written(tmp_path / "short", "a\n"), written(tmp_path / "empty", "")
    assert message(read_aligned, one, other, short) == f"{one} has 2 lines but {short} has 1; they must be aligned"
    assert message(read_aligned, empty, empty) == f"{empty} is empty; it needs one line at least"


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


@pytest.mark.parametrize("name", ["x.de", "x.de.gz"])
@pytest.mark.parametrize("size", [1, 7, 20])
def test_blocks_are_the_file_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", size)
    path = written(tmp_path / name, "\ufeffein\r\n\nzwei drei vier fünf\n\r\nsechs")
    assert read_lines(path) == ["ein", "", "zwei drei vier fünf", "", "sechs"]
    with LineReader(path) as reader:
        first, second = reader.block(), reader.take(2)
        assert (
            b"".join([*first, *second])
            == "ein\r\n\nzwei drei vier fünf\n\r\nsechs".encode()[: len(b"".join([*first, *second]))]
        )
        assert reader.number == len(first) + len(second)
        assert reader.count_rest() == 5
    assert message(read_lines, written(tmp_path / name, b"ab\n\n\nx\xff\n")).startswith(f"{path}, line 4: ")


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
