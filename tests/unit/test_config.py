"""Config.from_dict: the one strict way in, its faults, and the YAML files that must agree with it."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.cli import compose
from seq2seq.config import FORMAT_VERSION, Config
from seq2seq.errors import ConfigError
from seq2seq.options import SearchConfig
from seq2seq.resources import shipped
from seq2seq.schema import COMPONENTS

CONFIGS = shipped("configs")
CHOICES = [
    (path.parent.name, path.stem)
    for path in sorted(CONFIGS.glob("*/*.yaml"))
    if path.parent.name not in ("data", "experiment", "table")
]
PARTNERS = {  # what a choice can't do without
    ("decoder", "transformer"): {"attention": "multi_head"},
    ("objective", "minimum_risk"): {"init": "RUN"},
}


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
        ("embedding_size", 0, "from 1 to 65536"),
        ("device", "gpu", "one of auto, cpu, cuda, mps"),
        ("threads", 0, "from 1 to 1024"),
        ("tie_embeddings", True, "one of auto, none, output, all"),
        ("run", 5, "text or null"),
        ("data.train", {"a": "b"}, "text or a list or null"),
        ("data.test", ["a"], "text or a mapping or null"),
        ("data.valid_split", -1, "from 0 to 1000000"),
        ("tokenizer.vocab_size", "big", "a whole number or auto"),
        ("tokenizer.character_coverage", float("nan"), "from 0.9 to 1.0"),
        ("trainer.label_smoothing", float("nan"), "from 0.0 to 0.95"),
        ("trainer.max_minutes", -1, "from 0.0 to 1000000000"),
        ("trainer.best", "ter", "one of loss, perplexity, bleu"),
        ("search.beam_size", 0, "from 1 to 1000"),
        ("search.top_p", 1.5, "from 0.001 to 1.0"),
        ("search.length_penalty", "wu", "one of none, average, gnmt"),
        ("metric.tokenize", "13b", "one of 13a, none, intl, char, zh, ja-mecab, ko-mecab"),
        ("data.reverse_source", 1, "true or false"),
        ("search.coverage_penalty", -0.1, "from 0.0 to 100.0"),
        ("search.repetition_penalty", 0.5, "from 1.0 to 100.0"),
    ],
)
def test_types_and_ranges(key: str, value: Any, allowed: str) -> None:
    shown = "true" if value is True else value
    assert faults(nested(key, value)) == [f"{key}={shown} is not allowed: it must be {allowed}"]


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"decoder": {"name": "gnmt", "attend": "before_rnn"}},
            "decoder=gnmt has no decoder.attend, which decoder=gru and decoder=lstm have; allowed are decoder.dropout, "
            "decoder.word_dropout, decoder.hidden_size, decoder.readout, decoder.readout_size, decoder.bridge, "
            "decoder.layer_norm, decoder.locked_dropout, decoder.recurrent_dropout, decoder.cell, decoder.num_layers, "
            "decoder.residual",
        ),
        (
            {"attention": {"name": "none", "window": "local_m"}},
            "attention=none has no attention.window, which every other attention has; allowed are attention.attend",
        ),
        (
            {"encoder": {"name": "mean", "hidden_size": 64}},
            "encoder=mean has no encoder.hidden_size, which every other encoder has; allowed are encoder.dropout, "
            "encoder.word_dropout",
        ),
        (
            {"objective": {"name": "cross_entropy", "alpha": 3.0}},
            "objective=cross_entropy has no objective.alpha, which objective=r_drop and objective=minimum_risk have",
        ),
        (
            {"scheduler": {"name": "constant", "factor": 0.5}},
            "scheduler=constant has no scheduler.factor, which scheduler=step and scheduler=plateau have; "
            "allowed are scheduler.warmup_updates",
        ),
        (
            {"encoder": {"name": "mean", "size": 64}},
            "unknown option encoder.size; allowed are encoder.name, encoder.dropout, encoder.word_dropout",
        ),
    ],
)
def test_an_option_of_another_component_says_whose_it_is(plain: dict[str, Any], message: str) -> None:
    assert faults(plain) == [message]


def test_an_option_that_the_paper_fixes_is_anothers_too() -> None:
    [message] = faults({"decoder": {"name": "conditional_gru", "num_layers": 2}})
    assert message.startswith("decoder=conditional_gru has no decoder.num_layers, which every other decoder has; ")


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
    turned = Config.from_dict({"attention": {"name": "bahdanau", "attend": "after_rnn"}})
    assert turned.attend == "after_rnn"


def test_training_prefixes_and_test_sets() -> None:
    data = Config.from_dict({"data": {"train": "a", "test": "t"}}).data
    assert (data.train_prefixes(), data.tests()) == (["a"], {"test": "t"})
    data = Config.from_dict({"data": {"train": ["a", "b"], "test": {"x": "p", "y": "q"}}}).data
    assert (data.train_prefixes(), data.tests()) == (["a", "b"], {"x": "p", "y": "q"})
    assert (Config().data.train_prefixes(), Config().data.tests()) == ([], {})


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in COMPONENTS for name in COMPONENTS[group]])
def test_every_component_survives_json(group: str, name: str) -> None:
    config = Config.from_dict({group: name, **PARTNERS.get((group, name), {})})
    assert getattr(config, group).name == name
    plain = config.to_dict()
    assert plain["format_version"] == FORMAT_VERSION
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


OPTIONS = ["name", "hidden_size", "num_heads", "positions", "attend", "coverage", "bridge", "test", "betas", "x"]
KEYS = st.sampled_from([*Config.__dataclass_fields__, *OPTIONS, "validate_every"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["auto", "none", "gru", "lstm", "bahdanau", "adam", "cosine", "1 epoch", "transformer", "gnmt"]),
    st.sampled_from(["cnn", "mean", "multi_head", "luong_location", "copy", "rotary", "learned", "neural"]),
)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers() | st.text(max_size=3), inner),
    max_leaves=12,
)


@pytest.mark.slow
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


def words(group: str, name: str) -> list[str]:
    return [f"{group}={name}", *(f"{other}={theirs}" for other, theirs in PARTNERS.get((group, name), {}).items())]


def together() -> list[dict[str, str]]:
    """Every choice once, with what it can't do without: in as few command lines as there are choices in a group."""
    lines: list[dict[str, str]] = []
    for group, name in CHOICES:
        added = {group: name, **PARTNERS.get((group, name), {})}
        free = (line for line in lines if not line.keys() & added.keys())
        line = next(free, None)
        if line is None:
            lines.append(line := {})
        line |= added
    return lines


@pytest.mark.parametrize("line", together(), ids=str)
def test_every_choice_composes_to_its_dataclass(line: dict[str, str]) -> None:
    composed = compose(["data=files", *(f"{group}={name}" for group, name in line.items())])
    searches = {"beam": {}, "greedy": {"beam_size": 1}, "sampling": {"sample": True}}
    plain: dict[str, Any] = dict(line)
    assert plain.pop("trainer", "default") == "default"
    plain |= {"tokenizer": {"name": plain.get("tokenizer", "bpe")}, "search": searches[plain.get("search", "beam")]}
    assert composed == Config.from_dict(plain)


@pytest.mark.parametrize(("group", "name"), [choice for choice in CHOICES if choice[0] in ("encoder", "decoder")])
def test_every_encoder_and_decoder_suits_the_corpus_that_ships(group: str, name: str) -> None:
    """It sets options of all of them: their dropout, and embedding_size, which other sizes follow."""
    composed = compose(words(group, name))
    assert composed.embedding_size == 128
    assert getattr(composed, group) == COMPONENTS[group][name](dropout=0.1)


@pytest.mark.parametrize("name", sorted(COMPONENTS["attention"]))
def test_every_attention_goes_with_the_corpus_that_ships(name: str) -> None:
    assert compose([f"attention={name}"]).attention == COMPONENTS["attention"][name]()


def test_the_transformer_is_two_words() -> None:
    composed = compose(["encoder=mean", "attention=multi_head", "decoder=transformer"])
    assert (composed.encoder_size, composed.decoder_size, composed.tied) == (128, 128, "all")


def test_every_component_has_a_file() -> None:
    files = {(path.parent.name, path.stem) for path in CONFIGS.glob("*/*.yaml")}
    assert {(group, name) for group in COMPONENTS for name in COMPONENTS[group]} <= files


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("experiment/*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_composes(path: Path) -> None:
    assert isinstance(compose([f"experiment={path.stem}"]), Config)


@pytest.mark.parametrize(
    ("name", "parts", "place"),
    [
        ("cho2014", ("gru", "none", "gru"), "none"),
        ("sutskever2014", ("lstm", "none", "lstm"), "none"),
        ("bahdanau2015", ("gru", "bahdanau", "gru"), "before_rnn"),
        ("luong2015", ("lstm", "luong_general", "lstm"), "after_rnn"),
        ("transformer2017", ("transformer", "multi_head", "transformer"), "after_rnn"),
    ],
)
def test_the_papers_experiments_are_the_papers_models(name: str, parts: tuple[str, str, str], place: str) -> None:
    paper = compose([f"experiment={name}"])
    assert (paper.encoder.name, paper.attention.name, paper.decoder.name) == parts
    assert paper.attend == place
    assert paper.data.reverse_source == (name == "sutskever2014")
    assert getattr(paper.decoder, "input_feeding", False) == (name == "luong2015")
    assert (getattr(paper.decoder, "source_vector", "") == "every_step") == (name == "cho2014")


def test_the_default_is_the_corpus_that_ships() -> None:
    data = compose().data
    assert Path(f"{data.train}.de") == shipped("data/tiny") / "train.de"
    assert all(
        Path(f"{prefix}.{side}").is_file() for prefix in (data.train, data.valid, data.test) for side in ("de", "en")
    )


# --- what stands in the files


def comments(path: Path) -> dict[str, str]:
    """Each option of a YAML file, and of the files that it begins with, with the comment beside, above or below it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found: dict[str, str] = {}
    block = ""
    for i, line in enumerate(lines):
        if line and not line.startswith((" ", "#")):
            block = line.partition(":")[0]
        if block == "defaults" and (included := re.fullmatch(r" +- (/?)([\w/]+?)(@_here_)?", line)):
            folder = CONFIGS if included[1] else path.parent
            found |= comments(folder / f"{included[2]}.yaml") if included[2] != "_self_" else {}
        match = re.match(r" *(\w+): +[^ #]", line)
        if match and block not in ("defaults", "hydra"):
            comment = line.partition(" #")[2] or (lines[i - 1] if lines[i - 1].lstrip().startswith("#") else "")
            below = lines[i + 1] if i + 1 < len(lines) and re.match(" +#", lines[i + 1]) else ""
            found[match[1]] = comment + below
    if "name" in found and lines[0].startswith("#"):
        found["name"] = lines[0]  # what a file is about explains its name
    return found


FILES = [
    path
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if path.parent.name not in ("help", "experiment", "table", "recipe") and path.stem != "tiny"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_option_is_explained_where_it_stands(path: Path) -> None:
    found = comments(path)
    assert found
    # There `search:` says that null is the run's own.
    in_search_of_a_run = path.stem in ("translate", "evaluate", "tune", "align", "plot")
    allowed = set(Config.__dataclass_fields__["search"].default_factory().__dict__) if in_search_of_a_run else set()
    allowed |= {"lowercase"} if path.stem in ("evaluate", "tune", "compare") else set()
    assert {key for key, comment in found.items() if not comment} <= allowed


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in COMPONENTS for name in COMPONENTS[group]])
def test_a_components_file_shows_all_its_options_and_what_they_may_be(group: str, name: str) -> None:
    found, options = comments(CONFIGS / group / f"{name}.yaml"), COMPONENTS[group][name]
    defaults = {field.name: field.default for field in fields(options)}
    assert found.keys() == defaults.keys()
    hints = get_type_hints(options)
    for key in found.keys() - {"attend"}:  # the other place is the decoder's matter
        kinds = [kind for kind in (hints[key], *get_args(hints[key])) if get_origin(kind) is Literal]
        choices = {str(choice) for kind in kinds for choice in get_args(kind)} - {str(defaults[key])}
        assert {choice for choice in choices if choice not in found[key]} == set(), key


@pytest.mark.parametrize("name", ["search/beam", "search/greedy", "search/sampling", "translate", "evaluate"])
def test_every_option_of_the_search_is_shown(name: str) -> None:
    shown = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert (shown if "/" in name else shown["search"]).keys() == SearchConfig.__dataclass_fields__.keys()
