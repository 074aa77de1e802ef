"""From the config's files to encoded corpora: what is refused before training, and what is reported."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import Config
from seq2seq.data.prepare import Corpora, encode_texts, read_texts
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.tokenizer import TokenizerPair

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
    data = {**names, "max_length": 9, **options.pop("data", {})}
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
    paths = [files / f"{name}.{side}" for name in LINES for side in ("de", "en")]
    assert report["files"] == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
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
