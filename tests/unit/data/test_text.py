"""Parallel text: what is refused, which pairs are trained on, and which are held out, whatever the blocks."""

import gzip
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data import lines as lines_module
from seq2seq.data.text import ParallelText, TrainingText, hold_out, overlap, read_parallel, survey
from seq2seq.errors import DataError

Pairs = list[tuple[str, str]]


def written(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def write(prefix: Path, pairs: Pairs) -> str:
    for side, language in enumerate(("de", "en")):
        written(Path(f"{prefix}.{language}"), "".join(f"{pair[side]}\n" for pair in pairs))
    return str(prefix)


def pairs_of(text: TrainingText) -> Pairs:
    return [pair for sources, targets in text.pairs() for pair in zip(sources, targets, strict=True)]


def message(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(DataError) as raised:
        call(*arguments)
    return str(raised.value)


def test_both_sides_are_read(tmp_path: Path) -> None:
    files = (written(tmp_path / "a.de.gz", "eins\n\n"), written(tmp_path / "a.en", "one\r\ntwo"))
    text = read_parallel(f"{tmp_path}/a", "de", "en", "valid")
    assert text == ParallelText("valid", ["eins", ""], ["one", "two"], files)
    assert len(text) == 2


def test_prefixes_are_streamed_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 6)
    written(tmp_path / "a.de", "\ufeffeins\n\nzwei\n")
    written(tmp_path / "a.en", "one\ntwo\n \n")
    written(tmp_path / "b.de.gz", "\ufeffdrei\r\nvier")
    written(tmp_path / "b.en", "three\r\nfour\n")
    text = survey([f"{tmp_path}/a", f"{tmp_path}/b"], "de", "en", set()).text
    assert pairs_of(text) == [("eins", "one"), ("drei", "three"), ("vier", "four")]
    assert (text.lines, text.blank, len(text)) == (5, 2, 3)
    assert text.size == len("eins\n\nzwei\none\ntwo\n \ndrei\r\nvierthree\r\nfour\n")  # without the byte order marks


@pytest.mark.parametrize("longer", ["de", "en"])
@pytest.mark.parametrize("size", [1, 1000])
def test_sides_of_unequal_length_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longer: str, size: int
) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", size)
    a = written(tmp_path / "x.de", "1\n2\n3\n4\n" if longer == "de" else "1\n2\n")
    b = written(tmp_path / "x.en", "1\n2\n3\n4\n" if longer == "en" else "1\n2\n")
    counts = (4, 2) if longer == "de" else (2, 4)
    expected = (
        f"{a} has {counts[0]} lines but {b} has {counts[1]}; line i of one must be the translation of line i of the "
        "other"
    )
    assert message(read_parallel, f"{tmp_path}/x", "de", "en", "valid") == expected
    assert message(survey, [f"{tmp_path}/x"], "de", "en", set()) == expected


@pytest.mark.parametrize(("source", "target"), [("", ""), ("\n \n", "\n\n"), ("a\n \n", "\nb\n")])
def test_an_empty_corpus_is_refused(tmp_path: Path, source: str, target: str) -> None:
    a, b = written(tmp_path / "x.de", source), written(tmp_path / "x.en", target)
    assert message(read_parallel, f"{tmp_path}/x", "de", "en", "valid") == (
        f"valid: no line has text on both sides in {a}, {b}"
    )
    assert message(survey, [f"{tmp_path}/x"], "de", "en", set()) == (
        f"train: no line has text on both sides in {a}, {b}"
    )


def test_bad_text_is_found_while_it_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 3)
    write(tmp_path / "a", [("a", "b")] * 9)
    write(tmp_path / "b", [("ü", "b")] * 9)
    (tmp_path / "b.en").write_bytes(b"b\n" * 7 + b"ok \xff\nb\n")
    assert message(survey, [f"{tmp_path}/a", f"{tmp_path}/b"], "de", "en", set()).startswith(
        f"{tmp_path}/b.en, line 8: not valid UTF-8 (byte 0xFF at column 4); convert it with: "
    )


def test_blank_pairs_are_dropped_and_counted(tmp_path: Path) -> None:
    prefix = write(tmp_path / "x", [("a", "A"), ("", "B"), ("c", " \t"), ("\u00a0", ""), (" d", "D ")])
    found = survey([prefix], "de", "en", set())
    assert pairs_of(found.text) == [("a", "A"), (" d", "D ")]
    assert found.text.blank == 3
    assert found.blank.tolist() == [1, 2, 3]


def test_known_lines_are_found_in_the_pairs_that_are_trained_on(tmp_path: Path) -> None:
    prefix = write(tmp_path / "x", [("a", "A"), ("b", ""), ("c", "C"), ("d", "D"), ("c", "C")])
    seen = survey([prefix], "de", "en", {"a", "b", "c", "x", "A"}).seen
    assert seen == {"a", "c"}
    assert overlap(["a", "x", "c", "c", "", " "], seen | {"", " "}) == 3
    assert overlap([], seen) == 0


# --- pairs held out


@given(
    kinds=st.lists(st.sampled_from(["text", "text", "blank"]), max_size=40),
    count=st.integers(1, 6),
    seed=st.integers(0, 99),
    size=st.sampled_from([1, 10, 10_000]),
)
@settings(deadline=None, database=None)
def test_pairs_are_drawn_among_those_with_text(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], count: int, seed: int, size: int
) -> None:
    pairs = [(f"s{i}", f"t{i}") if kind == "text" else (f"s{i}", "") for i, kind in enumerate([*["text"] * 7, *kinds])]
    folder = tmp_path_factory.mktemp("split")
    half = len(pairs) // 2
    prefixes = [write(folder / "a", pairs[:half]), write(folder / "b", pairs[half:])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK_BYTES", size)
        train, valid = hold_out(survey(prefixes, "de", "en", set()), count, seed)
        trained_on = pairs_of(train)
    spoken = [pair for pair in pairs if pair[1]]
    drawn = set(random.Random(seed).sample(range(len(spoken)), count))
    assert trained_on == [pair for i, pair in enumerate(spoken) if i not in drawn]
    assert [*zip(valid.source, valid.target, strict=True)] == [pair for i, pair in enumerate(spoken) if i in drawn]
    assert valid.name == "valid"
    assert (len(train), len(valid)) == (len(spoken) - count, count)


def test_a_split_must_leave_something(tmp_path: Path) -> None:
    found = survey([write(tmp_path / "x", [("a", "A"), ("", ""), ("b", "B")])], "de", "en", set())
    assert len(hold_out(found, 1, seed=1)[0]) == 1
    assert message(hold_out, found, 2, 1) == (
        "data.valid_split=2 leaves nothing to train on: train has 2 pairs; set a smaller data.valid_split"
    )


# --- change


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    text = survey([write(tmp_path / "x", [("a", "A"), ("b", "B")])], "de", "en", set()).text
    text.check_unchanged()
    path = tmp_path / "x.en"
    before = path.stat()
    path.write_text("A\nC\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert message(text.check_unchanged) == (
        f"{path} has changed while it was read; start again when it stays as it is"
    )
    path.unlink()
    assert message(text.check_unchanged) == f"{path}: can't be read: No such file or directory"
