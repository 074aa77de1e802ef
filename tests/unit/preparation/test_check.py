"""What the check finds, against counts by hand and by brute force."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.preparation.check import check
from seq2seq.preparation.listing import show
from seq2seq.preparation.options import CheckConfig
from seq2seq.text.tokenizer import Tokenizer


def write(prefix: Path, sources: list[str], targets: list[str]) -> str:
    for side, lines in (("de", sources), ("en", targets)):
        Path(f"{prefix}.{side}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return str(prefix)


def report(**options: Any) -> dict[str, Any]:
    return check(CheckConfig.from_dict(options))


def text(folder: Path, sources: list[str], targets: list[str], **options: Any) -> dict[str, Any]:
    """The report on one text, in folder/t.de and t.en."""
    found: dict[str, Any] = report(data={"train": write(folder / "t", sources, targets)}, **options)["texts"]["train"]
    return found


def where(found: dict[str, Any]) -> list[tuple[str, int]]:
    """The places of a finding as names of files and numbers."""
    places = [place.rpartition(":") for place in found["where"]]
    return [(Path(path).name, int(line)) for path, _, line in places]


def test_blank_lines_and_copies(tmp_path: Path) -> None:
    found = text(tmp_path, ["eins", "", "same ", " \u00a0", "5"], ["one", "two", "same", "", ""])
    assert found["pairs"] == 5
    assert where(found["blank"]["source"]) == [("t.de", 2), ("t.de", 4)]
    assert where(found["blank"]["target"]) == [("t.en", 4), ("t.en", 5)]
    assert where(found["copies"]) == [("t.de", 3)]


def test_repeats_are_those_of_brute_force(tmp_path: Path) -> None:
    draw = random.Random(3)
    pairs = [(str(draw.randrange(40)), str(draw.randrange(40))) for _ in range(300)]
    found = text(tmp_path, [s for s, _ in pairs], [t for _, t in pairs], examples=1000)["repeated"]
    for name, lines in {"pairs": pairs, "sources": [s for s, _ in pairs], "targets": [t for _, t in pairs]}.items():
        again = [i + 1 for i, line in enumerate(lines) if line in lines[:i]]
        assert found[name]["count"] == len(again)
        assert [line for _, line in where(found[name])] == again
    assert {file for file, _ in where(found["targets"])} == {"t.en"}


def test_blank_lines_are_no_repeats(tmp_path: Path) -> None:
    found = text(tmp_path, ["", "", "a", " "], ["", "", "b", "c"])["repeated"]
    assert [found[name]["count"] for name in ("pairs", "sources", "targets")] == [0, 0, 0]


def test_no_more_places_than_asked_for_but_all_are_counted(tmp_path: Path) -> None:
    found = text(tmp_path, ["a"] * 9, ["b"] * 9, examples=2)["repeated"]["pairs"]
    assert (found["count"], where(found)) == (8, [("t.de", 2), ("t.de", 3)])


def test_overlaps_of_all_texts_with_all_later_ones(tmp_path: Path) -> None:
    data = {
        "train": [write(tmp_path / "a", ["1", "2", "3"], ["I", "II", "III"]), write(tmp_path / "b", ["4"], ["IV"])],
        "valid": write(tmp_path / "v", ["x", "2", "4"], ["III", "II", "four"]),
        "test": {"one": write(tmp_path / "o", ["4", "4"], ["IV", "V"]), "two": write(tmp_path / "w", ["y"], ["z"])},
    }
    found = {(each["text"], each["in"]): each for each in report(data=data)["overlap"]}
    assert [(of, within) for of, within in found] == [
        ("one", "two"), ("one", "valid"), ("two", "valid"), ("one", "train"), ("two", "train"), ("valid", "train")
    ]  # fmt: skip
    assert where(found["valid", "train"]["pairs"]) == [("v.de", 2)]
    assert where(found["valid", "train"]["sources"]) == [("v.de", 2), ("v.de", 3)]
    assert where(found["valid", "train"]["targets"]) == [("v.en", 1), ("v.en", 2)]
    assert where(found["one", "train"]["sources"]) == [("o.de", 1), ("o.de", 2)]
    assert where(found["one", "train"]["pairs"]) == [("o.de", 1)]
    assert where(found["one", "valid"]["sources"]) == [("o.de", 1), ("o.de", 2)]  # not what train has on top of it
    assert where(found["one", "valid"]["targets"]) == []
    assert all(found["two", other][kind]["count"] == 0 for other in ("valid", "train") for kind in ("sources", "pairs"))


def test_places_are_those_of_their_own_file(tmp_path: Path) -> None:
    prefixes = [write(tmp_path / "a", ["x"] * 3, ["y"] * 3), write(tmp_path / "b", ["", "u"], ["v", "w"])]
    found = report(data={"train": prefixes})["texts"]["train"]
    assert where(found["blank"]["source"]) == [("b.de", 1)]
    assert where(found["repeated"]["pairs"]) == [("a.de", 2), ("a.de", 3)]


def test_lengths_and_their_histogram(tmp_path: Path) -> None:
    words = [1, 2, 2, 3, 30, 7]
    found = text(tmp_path, ["w " * n for n in words], ["w"] * 6)
    lengths = found["words"]["source"]
    assert (lengths["mean"], lengths["quantiles"]["0.5"], lengths["longest"]) == (7.5, 2, 30)
    assert where({"where": [lengths["longest_at"]]}) == [("t.de", 5)]
    assert (found["unit"], found["characters"]["source"]["longest"]) == ("words", 60)
    groups = found["histogram"]
    assert sum(group["source"] for group in groups) == sum(group["target"] for group in groups) == 6
    for group in groups:
        assert group["source"] == sum(group["from"] <= n <= (group["to"] or 10**9) for n in words)


def test_a_ratio_stands_out_against_the_median(tmp_path: Path) -> None:
    """The median pair has twice as many characters in the target; 6.1 times the median is too much, 5.9 is not."""
    sources = ["x" * 50] * 20 + ["x" * 20] * 4 + ["x"]
    targets = ["y" * 100] * 20 + ["y" * n for n in (245, 235, 7, 6)] + ["y" * 15]
    found = text(tmp_path, sources, targets, ratio=6)["ratio"]
    assert found["quantiles"]["0.5"] == 2.0
    assert where(found["outside"]) == [("t.de", 21), ("t.de", 24)]  # the last is too short to say anything


def test_invisible_characters(tmp_path: Path) -> None:
    sources = ["gut", "a\tb", "soft\u00adhyphen soft\u00adagain", "bad\ufffd", "\u200b", "no\u00a0break", "ein　語"]
    found = text(tmp_path, sources, ["fine"] * 7)["scripts"]
    assert {name: where(places) for name, places in found["source"]["unusual"].items()} == {
        "U+0009 TAB": [("t.de", 2)],
        "U+00A0 NO-BREAK SPACE": [("t.de", 6)],
        "U+00AD SOFT HYPHEN": [("t.de", 3)],
        "U+200B ZERO WIDTH SPACE": [("t.de", 5)],
        "U+FFFD REPLACEMENT CHARACTER": [("t.de", 4)],
    }
    assert found["target"]["unusual"] == {}


def test_characters_that_mean_something_in_a_pattern(tmp_path: Path) -> None:
    """They are put into a character class."""
    found = text(tmp_path, ["]^-\\", "\x1b]^-\\"], ["a", "b"])["scripts"]["source"]["unusual"]
    assert {name: where(places) for name, places in found.items()} == {"U+001B control character": [("t.de", 2)]}


def test_scripts(tmp_path: Path) -> None:
    sources = [
        "Der Hund läuft",
        "Собака бежит",
        "Wодка",
        "日本語のテキスト",
        "Ärger mit β-Blockern",
        "2016 + 3 µm",
        "ein Wort",
    ]
    found = text(tmp_path, sources, ["x"] * 7)["scripts"]["source"]
    assert found["script"] == "LATIN"
    assert {script: where(places) for script, places in found["other_scripts"].items()} == {
        "CYRILLIC": [("t.de", 2), ("t.de", 3)],
        "CJK": [("t.de", 4)],
    }
    assert where(found["mixed_words"]) == [("t.de", 3)]


@pytest.mark.parametrize("model_type", ["bpe", "word"])
def test_what_the_tokenizer_does_not_know(tmp_path: Path, model_type: str) -> None:
    """Rates by hand: every piece of every line looked at alone."""
    tokenizer = Tokenizer.train(["ab ab", "ba b a"], model_type=model_type, vocab_size="auto")
    tokenizer.save(tmp_path / "x.model")
    sources = ["ab ba", "ab é€ ab", "", "zz ab ab"]
    found = text(tmp_path, sources, ["ab"] * 4, tokenizer=str(tmp_path / "x.model"))
    ids = [i for line in sources for i in tokenizer.encode(line)]
    names = [tokenizer.pieces([i])[0] for i in ids]
    in_bytes = sum(name.startswith("<0x") for name in names)
    source = found["tokenizer"]["source"]
    assert (source["pieces"], source["unknown"], source["bytes"]) == (len(ids), ids.count(tokenizer.unk_id), in_bytes)
    assert source["byte_rate"] == in_bytes / len(ids)
    assert where(source["lines"]) == [("t.de", 2), ("t.de", 4)]
    expected = {"bpe": {"é": 1, "€": 1, "z": 2}, "word": {"é€": 1, "zz": 1}}
    assert source["most_frequent"] == expected[model_type]
    assert found["tokenizer"]["target"]["bytes"] == found["tokenizer"]["target"]["unknown"] == 0
    assert found["unit"] == "pieces"
    counts = Counter(len(tokenizer.encode(line)) for line in sources if line)
    assert sum(group["source"] for group in found["histogram"]) == counts.total()


def test_faults_are_errors(tmp_path: Path) -> None:
    prefix = write(tmp_path / "t", ["a", "b"], ["c"])
    with pytest.raises(DataError, match=r"t.de has 2 lines but .*t.en has 1"):
        report(data={"train": prefix})
    (tmp_path / "t.en").write_bytes(b"c\n\xff\n")
    with pytest.raises(DataError, match=r"t.en, line 2: not valid UTF-8"):
        report(source=f"{prefix}.de", target=f"{prefix}.en")
    blank = write(tmp_path / "e", ["", "a"], ["b", ""])
    with pytest.raises(DataError, match="text: no line has text on both sides"):
        report(source=f"{blank}.de", target=f"{blank}.en")
    with pytest.raises(CheckpointError, match="tokenizer=nowhere: no such file or folder"):
        report(data={"train": write(tmp_path / "g", ["a"], ["b"])}, tokenizer="nowhere")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "what to check?"),
        ({"source": "x"}, "the other side is missing: set target=FILE"),
        ({"source": "x", "target": "y", "data": {"valid": "z"}}, "set one or the other"),
        ({"data": {"train": "x", "test": {"train": "y"}}}, "data.test has a set called train"),
        ({"data": {"max_length": 3}}, "unknown option data.max_length"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault.replace("?", r"\?")):
        CheckConfig.from_dict(options)


def test_the_listing_names_files_and_lines(tmp_path: Path) -> None:
    data = {
        "train": write(tmp_path / "t", ["eins", "", "eins", "vier", "eins"], ["one", "two", "one", "4", "1"]),
        "valid": write(tmp_path / "v", ["eins"], ["un"]),
    }
    found = report(data=data, output=str(tmp_path / "report.json"), examples=1)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == found
    shown = show(found)
    assert shown[shown.index("found:") :].splitlines() == [
        "found:",
        f"  train, de: blank: 1 ({tmp_path}/t.de:2)",
        f"  train: pairs that occur before: 1 ({tmp_path}/t.de:3)",
        f"  train: sources that occur before: 2 ({tmp_path}/t.de:3 and 1 more)",
        f"  train: targets that occur before: 1 ({tmp_path}/t.en:3)",
        f"  valid: sources that train has too, of 1: 1 ({tmp_path}/v.de:1)",
    ]
    assert "train: 5 pairs" in shown


def test_where_it_can_not_write_is_told_before_anything_is_read(tmp_path: Path) -> None:
    source, target = tmp_path / "t.de", tmp_path / "t.en"
    source.write_bytes(b"\xff")  # which would be told first
    target.write_text("one\n")
    files = {"source": str(source), "target": str(target)}
    with pytest.raises(
        ConfigError, match=r"^output=.*/t\.en would overwrite .*, which is read here; name another file$"
    ):
        report(**files, output=str(target))
    with pytest.raises(ConfigError, match=r"^output=.*/no/r\.json: there is no folder "):
        report(**files, output=str(tmp_path / "no" / "r.json"))
    assert target.read_text() == "one\n"


def test_nothing_found_is_said(tmp_path: Path) -> None:
    data = {"train": write(tmp_path / "t", ["eins", "zwei"], ["one", "two"])}
    assert show(report(data=data)).endswith("\n\nfound: nothing\n")
