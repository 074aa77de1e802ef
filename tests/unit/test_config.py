"""Config.from_dict: the one strict way in, its faults, and the YAML files that must agree with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.cli import compose
from seq2seq.config import Config, interval
from seq2seq.errors import ConfigError
from seq2seq.resources import shipped
from seq2seq.schema import COMPONENTS

CONFIGS = shipped("configs")
CHOICES = [
    (path.parent.name, path.stem)
    for path in sorted(CONFIGS.glob("*/*.yaml"))
    if path.parent.name not in ("data", "experiment")
]


def faults(plain: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(plain)
    return str(caught.value).splitlines()


def nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as {"a": {"b": value}}."""
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def test_an_empty_config_is_the_default() -> None:
    assert Config.from_dict({}) == Config()


def test_all_faults_come_at_once_each_on_its_line() -> None:
    assert faults(
        {
            "sed": 1,
            "encoder": {"name": "gru", "hiden_size": 3},
            "attention": "bahdanu",
            "decoder": {"name": "lstm", "dropout": 2},
            "trainer": {"max_epochs": "many"},
        }
    ) == [
        "unknown option sed: did you mean seed?",
        "unknown option encoder.hiden_size: did you mean encoder.hidden_size?",
        "unknown attention=bahdanu: did you mean bahdanau?",
        "decoder.dropout=2 is not allowed: it must be from 0.0 to 0.95",
        "trainer.max_epochs=many is not allowed: it must be a whole number or null",
    ]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("seed", -1, "at least 0"),
        ("seed", 1.5, "a whole number"),
        ("embedding_size", 0, "at least 1"),
        ("device", "gpu", "one of auto, cpu, cuda, mps"),
        ("threads", 0, "at least 1"),
        ("tie_embeddings", True, "one of auto, none, output, all"),
        ("run", 5, "text or null"),
        ("data.train", {"a": "b"}, "text or a list or null"),
        ("data.test", ["a"], "text or a mapping or null"),
        ("data.valid_split", -1, "at least 0"),
        ("tokenizer.vocab_size", "big", "a whole number or auto"),
        ("tokenizer.character_coverage", float("nan"), "from 0.9 to 1.0"),
        ("trainer.label_smoothing", float("nan"), "from 0.0 to 0.95"),
        ("trainer.max_minutes", -1, "at least 0.0"),
        ("trainer.best", "ter", "one of loss, perplexity, bleu"),
        ("search.beam_size", 0, "at least 1"),
        ("search.top_p", 1.5, "from 0.0 to 1.0"),
        ("search.length_penalty", "wu", "one of none, average, gnmt"),
        ("metric.tokenize", "13b", "one of 13a, none, intl, char, zh, ja-mecab, ko-mecab"),
    ],
)
def test_types_and_ranges(key: str, value: Any, allowed: str) -> None:
    shown = "true" if value is True else value
    assert faults(nested(key, value)) == [f"{key}={shown} is not allowed: it must be {allowed}"]


LUONG_DOT = (
    "attention=luong_dot needs decoder.hidden_size ({}) to equal the encoder's output size ({}); "
    "use attention=luong_general or set decoder.hidden_size={}"
)
CONTRADICTION = (
    "attention={} and decoder.attend={} contradict each other; "
    "use decoder.attend=auto, or attention=none for a decoder without attention"
)
FEEDING = (
    "decoder.input_feeding=true needs attention after the RNN, but attention={} has {}: "
    "there is no attentional vector to feed; set decoder.input_feeding=false"
)
BATCHES = "set exactly one of trainer.batch_tokens and trainer.batch_sentences, and the other to null"


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {
                "attention": "luong_dot",
                "encoder": {"name": "gru", "hidden_size": 512},
                "decoder": {"name": "gru", "hidden_size": 512},
            },
            LUONG_DOT.format(512, 1024, 1024),
        ),
        (
            {
                "attention": "luong_dot",
                "encoder": {"name": "gru", "hidden_size": 512, "bidirectional": False},
                "decoder": {"name": "gru", "hidden_size": 256},
            },
            LUONG_DOT.format(256, 512, 512),
        ),
        ({"decoder": {"name": "lstm", "attend": "none"}}, CONTRADICTION.format("luong_general", "none")),
        (
            {"attention": "none", "decoder": {"name": "lstm", "attend": "after_rnn"}},
            CONTRADICTION.format("none", "after_rnn"),
        ),
        (
            {"attention": "bahdanau", "decoder": {"name": "gru", "input_feeding": True}},
            FEEDING.format("bahdanau", "before_rnn"),
        ),
        ({"attention": "none", "decoder": {"name": "gru", "input_feeding": True}}, FEEDING.format("none", "none")),
        (
            {"tie_embeddings": "output", "decoder": {"name": "gru", "readout_size": 300}},
            "tie_embeddings=output needs decoder.readout_size (300) to equal embedding_size (256); "
            "set decoder.readout_size=auto or tie_embeddings=none",
        ),
        (
            {"tie_embeddings": "all", "tokenizer": {"shared": False}},
            "tie_embeddings=all needs one vocabulary: set tokenizer.shared=true or tie_embeddings=output",
        ),
        ({"trainer": {"batch_tokens": 4000}}, BATCHES),
        ({"trainer": {"batch_sentences": None}}, BATCHES),
        (
            {"trainer": {"max_epochs": None}},
            "set at least one of trainer.max_epochs, trainer.max_updates and trainer.max_minutes",
        ),
        (
            {"trainer": {"validate_every": "one epoch"}},
            "trainer.validate_every='one epoch' is not an interval: use a number of updates such as 500, or '1 epoch'",
        ),
        (
            {"trainer": {"save_every": "0 epochs"}},
            "trainer.save_every='0 epochs' is not an interval: use a number of updates such as 500, or '1 epoch'",
        ),
        (
            {"scheduler": "cosine", "trainer": {"max_epochs": None, "max_minutes": 5}},
            "scheduler=cosine needs scheduler.decay_updates where neither max_updates nor max_epochs is set",
        ),
        (
            {"search": {"beam_size": 3, "n_best": 5}},
            "search.n_best=5 is more than search.beam_size=3 can find; set search.beam_size=5",
        ),
        (
            {"search": {"min_length": 20, "max_length": 10}},
            "search.min_length=20 is more than search.max_length=10",
        ),
    ],
)
def test_impossible_pairs_say_what_to_do(plain: dict[str, Any], message: str) -> None:
    assert faults(plain) == [message]


@pytest.mark.parametrize(
    "plain",
    [
        {"attention": "luong_dot"},
        {"attention": "luong_dot", "decoder": {"name": "gru", "hidden_size": 512}},
        {"attention": "bahdanau", "decoder": {"name": "gru", "input_feeding": True, "attend": "after_rnn"}},
        {"decoder": {"name": "gru", "readout_size": 300}},
        {"tokenizer": {"shared": False}},
        {"trainer": {"batch_tokens": 4000, "batch_sentences": None}},
        {"search": {"sample": True, "beam_size": 1, "n_best": 5}},
    ],
)
def test_neighbours_of_impossible_pairs_are_possible(plain: dict[str, Any]) -> None:
    Config.from_dict(plain)


def test_several_impossible_pairs_come_together() -> None:
    found = faults({"attention": "none", "decoder": {"name": "gru", "attend": "before_rnn"}, "search": {"n_best": 9}})
    assert found == [
        CONTRADICTION.format("none", "before_rnn"),
        "search.n_best=9 is more than search.beam_size=5 can find; set search.beam_size=9",
    ]


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".", "..", "x" * 300, "a\0b", "train", "valid"], ids=lambda name: repr(name)[:12]
)
def test_names_of_test_sets_are_names_of_files(name: str) -> None:
    """They name translations/NAME.hypothesis, so a slash would lead elsewhere."""
    assert len(faults({"data": {"test": {name: "PREFIX"}}})) == 1


def test_sizes_that_follow_from_others() -> None:
    config = Config.from_dict({"encoder": {"name": "gru", "hidden_size": 100}, "embedding_size": 30})
    assert (config.decoder_size, config.readout_size) == (200, 30)
    config = Config.from_dict({"decoder": {"name": "gru", "hidden_size": 7, "readout_size": 8}})
    assert (config.decoder_size, config.readout_size) == (7, 8)


def test_what_auto_ties() -> None:
    assert Config().tied == "all"
    assert Config.from_dict({"tokenizer": {"shared": False}}).tied == "output"
    assert Config.from_dict({"decoder": {"name": "gru", "readout_size": 3}}).tied == "none"
    assert Config.from_dict({"tie_embeddings": "none"}).tied == "none"


def test_attention_stands_where_its_paper_has_it_unless_told_otherwise() -> None:
    assert Config.from_dict({"attention": "bahdanau"}).attend == "before_rnn"
    assert Config.from_dict({"attention": "luong_dot"}).attend == "after_rnn"
    assert Config.from_dict({"attention": "none"}).attend == "none"
    moved = Config.from_dict({"attention": "bahdanau", "decoder": {"name": "gru", "attend": "after_rnn"}})
    assert moved.attend == "after_rnn"


def test_training_prefixes_and_test_sets() -> None:
    data = Config.from_dict({"data": {"train": "a", "test": "t"}}).data
    assert (data.train_prefixes(), data.tests()) == (["a"], {"test": "t"})
    data = Config.from_dict({"data": {"train": ["a", "b"], "test": {"x": "p", "y": "q"}}}).data
    assert (data.train_prefixes(), data.tests()) == (["a", "b"], {"x": "p", "y": "q"})
    assert (Config().data.train_prefixes(), Config().data.tests()) == ([], {})


@pytest.mark.parametrize(("text", "meant"), [(7, (7, None)), ("1 epoch", (None, 1)), ("12 epochs", (None, 12))])
def test_intervals(text: int | str, meant: tuple[int | None, int | None]) -> None:
    assert interval(text) == meant


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in COMPONENTS for name in COMPONENTS[group]])
def test_every_component_survives_json(group: str, name: str) -> None:
    config = Config.from_dict({group: name})
    assert getattr(config, group).name == name
    plain = config.to_dict()
    assert plain["format_version"] == 1
    assert Config.from_dict(plain) == config
    assert Config.from_dict(json.loads(json.dumps(plain))) == config


def test_a_config_with_everything_changed_survives_json() -> None:
    config = compose(
        [
            "run=a b",
            "seed=9",
            "data.train=[a,b]",
            "data.valid=v",
            "data.test={x: 'p,q', 2016: r}",
            "optimizer=adamw",
            "optimizer.betas=[0.5,0.75]",
            "trainer.validate_every=50",
            "trainer.clip_norm=null",
            "search.n_best=3",
            "metric.lowercase=true",
        ]
    )
    assert config.data.test == {"x": "p,q", "2016": "r"}
    assert config.optimizer.betas == [0.5, 0.75]
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


KEYS = st.sampled_from([*Config.__dataclass_fields__, "name", "hidden_size", "test", "betas", "validate_every", "x"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["auto", "none", "gru", "lstm", "bahdanau", "adam", "cosine", "1 epoch"]),
)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers() | st.text(max_size=3), inner),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, PLAIN, max_size=6))
def test_from_dict_gives_a_config_or_a_config_error(plain: dict[str, Any]) -> None:
    try:
        config = Config.from_dict(plain)
    except ConfigError:
        return
    assert Config.from_dict(config.to_dict()) == config


def test_the_yaml_files_and_the_dataclasses_have_the_same_defaults() -> None:
    assert compose(["data=files"]) == Config()


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_choice_composes_to_its_dataclass(group: str, name: str) -> None:
    composed = compose(["data=files", f"{group}={name}"])
    if group in COMPONENTS:
        assert composed == Config.from_dict({group: name})
    elif group == "tokenizer":
        assert composed == Config.from_dict({"tokenizer": {"name": name}})
    elif group == "search":
        changes = {"beam": {}, "greedy": {"beam_size": 1}, "sampling": {"sample": True}}[name]
        assert composed == Config.from_dict({"search": changes})
    else:
        assert (group, name) == ("trainer", "default")
        assert composed == Config()


def test_every_component_has_a_file() -> None:
    files = {(path.parent.name, path.stem) for path in CONFIGS.glob("*/*.yaml")}
    assert {(group, name) for group in COMPONENTS for name in COMPONENTS[group]} <= files


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("experiment/*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_composes(path: Path) -> None:
    assert isinstance(compose([f"experiment={path.stem}", "data=files"]), Config)


def test_the_papers_experiments_are_the_papers_models() -> None:
    luong = compose(["experiment=luong2015"])
    assert (luong.encoder.name, luong.attention.name, luong.decoder.name) == ("lstm", "luong_general", "lstm")
    assert luong.decoder.input_feeding
    assert luong.attend == "after_rnn"
    bahdanau = compose(["experiment=bahdanau2015"])
    assert (bahdanau.encoder.name, bahdanau.attention.name, bahdanau.decoder.name) == ("gru", "bahdanau", "gru")
    assert bahdanau.attend == "before_rnn"


def test_the_default_is_the_corpus_that_ships() -> None:
    data = compose().data
    assert Path(f"{data.train}.de") == shipped("data/tiny") / "train.de"
    assert all(
        Path(f"{prefix}.{side}").is_file() for prefix in (data.train, data.valid, data.test) for side in ("de", "en")
    )


def options(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Each `key: value` line of a YAML file: its number, the key, and whether a comment explains it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    block = ""
    for number, line in enumerate(lines, 1):
        if line and not line.startswith((" ", "#")):
            block = line.partition(":")[0]
        match = re.match(r" *(\w+): +[^ #]", line)
        if match and block not in ("defaults", "hydra"):
            explained = " #" in line or lines[number - 2].lstrip().startswith("#")
            yield number, match[1], explained


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(CONFIGS.rglob("*.yaml")) if p.parts[-2] not in ("help", "experiment") and p.stem != "tiny"],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_option_is_explained_where_it_stands(path: Path) -> None:
    found = list(options(path))
    assert found
    in_search_of_a_run = path.stem in ("translate", "evaluate")  # there `search:` says that null is the run's own
    allowed = set(Config.__dataclass_fields__["search"].default_factory().__dict__) if in_search_of_a_run else set()
    allowed |= {"lowercase"} if path.stem == "evaluate" else set()
    assert [f"{number}: {key}" for number, key, explained in found if not explained and key not in allowed] == []
