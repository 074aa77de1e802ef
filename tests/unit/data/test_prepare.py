"""From the config's files to encoded corpora: what is refused before training, and what is reported."""

import hashlib
import json
import shutil
from array import array
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data import lines as lines_module
from seq2seq.data import prepare as module
from seq2seq.data.encode import Encoder, TokenizerTraining
from seq2seq.data.prepare import Corpora, encode_texts, read_texts
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.pair import TokenizerPair

LINES = {"train": ["ab abc", "b", "cab ca b"], "valid": ["ab", "bab"], "test": ["c", "abba"]}
LOCATION = {"name": "luong_location", "max_source_length": 10}
LEARNED = {"name": "transformer", "positions": "learned", "max_length": 10}
HEADS = {"attention": "multi_head", "decoder": LEARNED}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of train, valid and test; both sides are alike, of at most 8 characters."""
    for name, lines in LINES.items():
        for side in ("de", "en"):
            write(tmp_path / f"{name}.{side}", lines)
    return tmp_path


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def config(folder: Path, **options: Any) -> Config:
    """One piece a character and one for the space in front, so that a line of n characters has n + 2 with EOS."""
    names = {"train": str(folder / "train"), "valid": str(folder / "valid"), "test": str(folder / "test")}
    data = {**names, "max_length": 9, "cache": str(folder / "encoded"), **options.pop("data", {})}
    return Config.from_dict({"tokenizer": {"name": "char"}, "data": data, **options})


def prepared(config: Config) -> Corpora:
    return encode_texts(config, read_texts(config))


def refusal(config: Config) -> str:
    with pytest.raises(DataError) as caught:
        prepared(config)
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"attention": LOCATION}, {"encoder": {**LEARNED, "name": "cnn"}}, HEADS],
    ids=["location", "encoder", "decoder"],
)
def test_what_the_model_can_just_take_is_accepted(files: Path, options: dict[str, Any]) -> None:
    write(files / "valid.de", ["ab", "x" * 8])
    write(files / "valid.en", ["y" * 8, "ab"])
    write(files / "test.de", ["z" * 8, "ab"])
    write(files / "test.en", ["reference, however long", "it is"])
    assert len(prepared(config(files, **options)).valid) == 2


@pytest.mark.parametrize(
    ("options", "name", "key"),
    [
        ({"attention": LOCATION}, "valid.de", "attention.max_source_length"),
        ({"attention": LOCATION}, "test.de", "attention.max_source_length"),
        ({"encoder": LEARNED}, "valid.de", "encoder.max_length"),
        ({"encoder": {**LEARNED, "name": "cnn"}}, "test.de", "encoder.max_length"),
        ({"attention": LOCATION, "encoder": {**LEARNED, "max_length": 52}}, "valid.de", "attention.max_source_length"),
        ({"attention": {**LOCATION, "max_source_length": 52}, "encoder": LEARNED}, "valid.de", "encoder.max_length"),
        (HEADS, "valid.en", "decoder.max_length"),
    ],
)
def test_a_line_that_the_model_cant_take_is_named_with_its_ways_out(
    files: Path, options: dict[str, Any], name: str, key: str
) -> None:
    longer, longest = "b" * 9, "a" * 50
    write(files / name, [longer, longest])
    assert refusal(config(files, **options)) == (
        f"{files / name}, line 2: '{'a' * 40}'... has 52 pieces with the end of sentence, but this model takes at most "
        f"10; set {key}=52, or shorten all lines that are too long"
    )
    group, option = key.split(".")
    prepared(config(files, **{**options, group: {**options[group], option: 52}}))
    write(files / name, ["b" * 8, "a"])
    prepared(config(files, **options))


def test_test_lines_are_cut_before_they_are_read(files: Path) -> None:
    write(files / "test.de", ["c", "a" * 50])
    for longest, fits in ((9, True), (10, False)):
        cut = config(files, attention=LOCATION, search={"max_source_length": longest})
        if fits:
            prepared(cut)
        else:
            assert "test.de, line 2: " in refusal(cut)
            assert "has 11 pieces" in refusal(cut)


def test_models_that_read_any_length_ask_nothing(files: Path) -> None:
    for name in ("valid.de", "valid.en", "test.de"):
        write(files / name, ["a" * 300, "b"])
    sinusoidal = {"name": "transformer", "max_length": 10}
    prepared(config(files))
    prepared(config(files, encoder=sinusoidal, attention="multi_head", decoder=sinusoidal))


def test_pairs_held_out_have_no_line_number(files: Path) -> None:
    """The training pairs of more than data.max_length are dropped; held out, one is refused."""
    for side in ("de", "en"):
        write(files / f"train.{side}", ["a" * 30])
        write(files / f"more.{side}", ["ab", "b"])
    prefixes = [str(files / "train"), str(files / "more")]
    for seed in range(20):
        held_out = config(files, data={"train": prefixes, "valid": None, "valid_split": 1}, attention=LOCATION)
        texts = read_texts(held_out.replace(seed=seed))
        if texts.valid.source == ["a" * 30]:
            with pytest.raises(DataError) as caught:
                encode_texts(held_out, texts)
            assert str(caught.value).startswith(f"valid (held out of the training data): '{'a' * 30}'... has 32 pieces")
            return
    raise AssertionError("no seed holds out the long pair")


def test_the_slope_of_the_training_pairs_is_reported(files: Path) -> None:
    """Pieces with EOS, of the pairs that are trained on."""
    write(files / "train.de", ["abab", "a" * 7, "b" * 30, ""])
    write(files / "train.en", ["ab", "a", "b", "a"])
    report = prepared(config(files)).report
    assert report["dropped"] == {"blank": 1, "too_long": 1}
    assert report["source_per_target"] == round(((4 + 2) + (7 + 2)) / ((2 + 2) + (1 + 2)), 4) == 2.1429


def test_the_report_names_files_and_sizes(files: Path) -> None:
    corpora = prepared(config(files))
    report, tokenizers = corpora.report, corpora.tokenizers
    hashes = {
        name: {
            str(files / f"{name}.{side}"): hashlib.sha256((files / f"{name}.{side}").read_bytes()).hexdigest()
            for side in ("de", "en")
        }
        for name in LINES
    }
    assert report["files"] == {"train": hashes["train"], "valid": hashes["valid"], "test": {"test": hashes["test"]}}
    assert report["pairs"] == {"train": 3, "valid": 2, "test": 2}
    assert report["source_per_target"] == 1.0
    assert report["tokenizer"] == {"source": tokenizers.source.digest, "target": tokenizers.target.digest}
    assert report["length_limit"] == corpora.limit._asdict()


def test_a_given_tokenizer_is_used(files: Path, tmp_path: Path) -> None:
    options = {"model_type": "char", "vocab_size": "auto", "character_coverage": 1.0}
    given = TokenizerPair.train(["xyz"], ["xyz"], shared=True, **options)
    given.save(tmp_path / "pieces")
    asked = config(files, tokenizer={"name": "char", "model": str(tmp_path / "pieces")})
    assert prepared(asked).tokenizers.source.digest == given.source.digest


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"train": None},
            "no training data: set data.train=PREFIX, where PREFIX.de and PREFIX.en are the two sides, "
            "or use data=tiny",
        ),
        (
            {"valid": None},
            "no validation set: set data.valid=PREFIX, or data.valid_split=N to hold out N of the training pairs",
        ),
        ({"valid_split": 1}, "data.valid and data.valid_split are both set; keep one of them"),
    ],
)
def test_data_that_dont_make_a_run(files: Path, data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_texts(config(files, data=data))
    assert str(caught.value) == message


def test_held_out_pairs_have_no_files(files: Path) -> None:
    texts = read_texts(config(files, data={"valid": None, "valid_split": 1}))
    assert texts.files["valid"] == {}
    assert list(texts.files["train"]) == [f"{files}/train.de", f"{files}/train.en"]
    assert (len(texts.train), len(texts.valid)) == (2, 1)


@pytest.mark.parametrize("split", [False, True])
def test_sources_that_occur_in_training_are_told(files: Path, caplog: pytest.LogCaptureFixture, split: bool) -> None:
    """Pairs held out are training pairs no more; blank ones never were."""
    write(files / "train.de", ["ab", "b", "", "cab", "b"])
    write(files / "train.en", ["ab", "b", "x", "", "b"])
    write(files / "test.de", ["ab", "cab", "", "b"])
    write(files / "test.en", ["1", "2", "3", "4"])
    for seed in range(1, 20):
        data = {"valid": None, "valid_split": 1} if split else {}
        asked = config(files, data=data, seed=seed)
        caplog.clear()
        texts = read_texts(asked)
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        flatter = "occur in the training data: its scores will flatter"
        if not split:
            assert said == [f"1 of the 2 sources of valid {flatter}", f"2 of the 4 sources of test {flatter}"]
        elif texts.valid.source == ["ab"]:
            assert said == [f"1 of the 4 sources of test {flatter}"]
        else:
            assert said == [f"1 of the 1 sources of valid {flatter}", f"2 of the 4 sources of test {flatter}"]


# --- the cache


SENTENCES = [f"{word} {other}" for word in ("ab", "b", "cab", "äb", "") for other in ("a", "bcb", "", "acca")]


@pytest.fixture
def larger(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Training pairs of several blocks, blank ones and too long ones among them."""
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 40)
    write(files / "train.de", [*SENTENCES, "", "x" * 30])
    write(files / "train.en", [*reversed(SENTENCES), "", "a"])
    return files


def pairs_of(corpora: Corpora) -> list[tuple[list[int], list[int]]]:
    return [tuple(side.tolist() for side in corpora.train.pair(i)) for i in range(len(corpora.train))]


def entries(folder: Path) -> dict[str, dict[str, bytes]]:
    """The files of each entry of the cache; locks aside."""
    return {
        entry.name: {file.name: file.read_bytes() for file in entry.iterdir()}
        for entry in (folder / "encoded").iterdir()
        if entry.is_dir()
    }


def pairs_entry(folder: Path) -> Path:
    (entry,) = (path for path in (folder / "encoded").iterdir() if len(path.name) == 64)
    return entry


@pytest.mark.parametrize("options", [{"name": "char"}, {"name": "unigram", "shared": False}])
def test_any_number_of_processes_gives_the_same_as_line_by_line(larger: Path, options: dict[str, Any]) -> None:
    made = []
    for workers in (0, 1, 2):
        asked = config(larger, data={"workers": workers, "max_length": 12}, tokenizer=options)
        corpora = prepared(asked)
        made.append((entries(larger), corpora.report))
        shutil.rmtree(larger / "encoded")
    assert made[0] == made[1] == made[2]

    pair = corpora.tokenizers
    lines = [(s, t) for s, t in zip(SENTENCES, reversed(SENTENCES), strict=True) if s.strip() and t.strip()]
    expected = [(pair.source.encode(source), pair.target.encode(target)) for source, target in lines]
    kept = [ids for ids in expected if max(map(len, ids)) <= 12]
    assert len(kept) >= 10
    assert pairs_of(corpora) == kept
    sources, targets = [source for source, _ in kept], [target for _, target in kept]
    assert corpora.train.source_lengths.tolist() == [len(ids) for ids in sources]
    pieces = [sum(map(len, side)) + len(kept) for side in (sources, targets)]
    assert corpora.report["source_per_target"] == round(pieces[0] / pieces[1], 4)


def test_large_texts_are_given_to_processes_and_small_ones_not(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(module, "available_cores", lambda: 5)
    monkeypatch.setattr(module, "_training_pairs", lambda *arguments: asked.append(arguments[-1]) or 1 / 0)
    own = TokenizerPair.train(["ab"], ["ab"], shared=True, model_type="char", vocab_size="auto")
    texts = read_texts(config(files))
    for large, workers in ((texts.train.size, "auto"), (texts.train.size - 1, "auto"), (10**9, 3), (0, 0)):
        monkeypatch.setattr(module, "LARGE", large)
        with pytest.raises(ZeroDivisionError):
            encode_texts(config(files, data={"workers": workers}), texts, own)
    assert asked == [0, 5, 3, 0]


def test_a_second_start_encodes_and_learns_nothing(larger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(config(larger))
    before = entries(larger)
    assert sorted(map(len, before)) == [64, 64 + len("tokenizer-")]

    def refuse(*_: object) -> None:
        raise AssertionError("it was there")

    monkeypatch.setattr(TokenizerTraining, "__call__", refuse)
    monkeypatch.setattr(Encoder, "__call__", refuse)
    second = prepared(config(larger))
    assert entries(larger) == before
    assert second.report == first.report
    assert pairs_of(second) == pairs_of(first)
    assert second.limit == first.limit
    with pytest.raises(AssertionError):
        prepared(config(larger, data={"max_length": 8}))


def test_each_thing_that_matters_makes_another_entry(larger: Path) -> None:
    names: set[str] = set()

    def added(asked: Config) -> set[str]:
        before = set(names)
        prepared(asked)
        names.update(entries(larger))
        return {"tokenizer" if name.startswith("tokenizer") else "pairs" for name in names - before}

    split = {"valid": None, "valid_split": 2}
    assert added(config(larger)) == {"tokenizer", "pairs"}
    assert added(config(larger, data={"workers": 1, "reverse_source": True})) == set()
    assert added(config(larger, data={"max_length": 8})) == {"pairs"}
    assert added(config(larger, tokenizer={"name": "char", "shared": False})) == {"tokenizer", "pairs"}
    assert added(config(larger, data=split)) == {"tokenizer", "pairs"}
    assert added(config(larger, data=split, seed=2)) == {"tokenizer", "pairs"}
    assert added(config(larger, data={"train": [f"{larger}/train"] * 2})) == {"tokenizer", "pairs"}
    write(larger / "valid.de", ["c", "a"])
    assert added(config(larger)) == set()
    write(larger / "train.de", [*SENTENCES, "", "a"])
    assert added(config(larger)) == {"tokenizer", "pairs"}


def test_a_resumed_run_brings_its_tokenizers(larger: Path) -> None:
    own = TokenizerPair.train(["ab c"], ["ab c"], shared=True, model_type="char", vocab_size="auto")
    asked = config(larger)
    corpora = encode_texts(asked, read_texts(asked), own)
    assert corpora.tokenizers is own
    assert corpora.report["tokenizer"]["source"] == own.source.digest
    assert [len(name) for name in entries(larger)] == [64]


def numbers(*values: int) -> bytes:
    return array("q", values).tobytes()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("source.ids", lambda content: content[:-1]),
        ("target.offsets", lambda content: numbers(1) + content[8:]),
        ("source.offsets", lambda content: content[:8] + numbers(10**6) + content[16:]),
        ("target.ids", None),
        ("manifest.json", None),
        ("manifest.json", lambda content: content[:-20]),
        ("manifest.json", lambda _: b"{}"),
        ("manifest.json", lambda _: b'{"stored": {"pairs": -1}}'),
        ("manifest.json", lambda content: content.replace(b'"pairs": ', b'"pairs": 1')),
        ("manifest.json", lambda content: content.replace(b'"pairs": ', b'"pairs": -')),
        ("manifest.json", lambda content: content.replace(b'"too_long": 1', b'"too_long": "1"')),
    ],
)
def test_a_damaged_entry_is_made_again(larger: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Any) -> None:
    before = pairs_of(prepared(config(larger)))
    whole = entries(larger)
    path = pairs_entry(larger) / name
    if damage is None:
        path.unlink()
    else:
        assert damage(path.read_bytes()) != path.read_bytes()
        path.write_bytes(damage(path.read_bytes()))
    caplog.clear()
    assert pairs_of(prepared(config(larger))) == before
    assert entries(larger) == whole
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{pairs_entry(larger)} is damaged and is made again: {pairs_entry(larger)}/")


def test_a_damaged_tokenizer_is_learnt_again(larger: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = prepared(config(larger)).tokenizers
    (entry,) = (larger / "encoded").glob("tokenizer-*[0-9a-f]")
    other = TokenizerPair.train(["xyz"], ["xyz"], shared=True, model_type="char", vocab_size="auto")
    other.save(entry)
    caplog.clear()
    assert prepared(config(larger)).tokenizers.source.digest == before.source.digest
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{entry} is damaged and is made again: its tokenizers aren't those that were saved"
    ]


def test_text_that_changes_meanwhile_is_never_kept(larger: Path) -> None:
    texts = read_texts(config(larger))
    write(larger / "train.de", ["other"] * 22)
    for own in (None, TokenizerPair.train(["ab"], ["ab"], shared=True, model_type="char", vocab_size="auto")):
        with pytest.raises(DataError, match=r"train\.de has changed while it was read"):
            encode_texts(config(larger), texts, own)
        assert entries(larger) == {}


def test_a_disk_without_room_is_found_at_the_start(larger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(config(larger, data={"max_length": 8}))  # the tokenizer is there
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**20))
    assert refusal(config(larger)) == (
        f"data.cache={larger}/encoded: the encoded training pairs need 16.0 MiB of disk, but 1.0 MiB are free; make "
        "room, or set data.cache=FOLDER to another disk"
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30))
    prepared(config(larger))


def test_a_cache_that_cant_be_written_is_one_line(larger: Path) -> None:
    assert refusal(config(larger, data={"cache": str(larger / "train.de")})) == (
        f"data.cache={larger}/train.de can't be written: File exists; set data.cache=FOLDER to a folder that can"
    )


def test_no_pair_short_enough_leaves_nothing(larger: Path) -> None:
    assert refusal(config(larger, data={"max_length": 1})) == (
        "train: none of the 19 pairs is within data.max_length=1 pieces on both sides; raise data.max_length"
    )
    assert [name for name in entries(larger) if not name.startswith("tokenizer")] == []


def test_the_manifest_says_what_the_entry_is_made_of(larger: Path) -> None:
    corpora = prepared(config(larger))
    manifest = json.loads((pairs_entry(larger) / "manifest.json").read_text())
    stored, made_of = manifest["stored"], manifest["made_of"]
    assert stored["pairs"] == len(corpora.train)
    assert stored["source_tokens"] == len(corpora.train.source) == int(corpora.train.source_lengths.sum())
    assert made_of["files"] == [list(corpora.report["files"]["train"].values())]
    assert made_of["max_length"] == 9
    assert corpora.train.source.dtype == torch.int32
