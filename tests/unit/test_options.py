"""The options of each group: their own faults, the sizes that follow from them, and their words on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

import pytest
from hydra.core.config_store import ConfigStore

from seq2seq.cli import compose
from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.options import AttentionConfig, SearchConfig
from seq2seq.options.attention import LuongGeneralConfig, NoAttentionConfig
from seq2seq.options.base import resolve
from seq2seq.options.training import interval
from seq2seq.schema import COMPONENTS

NO_MULTIPLE = "{0}.hidden_size={1} is no multiple of {0}.num_heads={2}; set {0}.hidden_size={3}"
ROTARY = (
    "{0}.positions=rotary turns pairs of units, but {0}.hidden_size={1} over {0}.num_heads={2} leaves {3} to a head; "
    "set {0}.hidden_size={4}"
)
RESIDUAL = "{0}.residual=true needs layers above the first; set {0}.num_layers=2"
SHARED_OUT = "{} ({}) can't be shared out to attention.num_heads={}; set attention.{}={}"


def faults(plain: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(plain)
    return str(caught.value).splitlines()


def mended(plain: dict[str, Any], fix: str) -> dict[str, Any]:
    """`plain` after the "group.option=number" that a message asks to set."""
    key, _, value = fix.partition("=")
    group, option = key.split(".")
    return {**plain, group: {**plain[group], option: int(value)}}


# --- faults of their own


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"encoder": {"name": "lstm", "residual": True}}, RESIDUAL.format("encoder")),
        ({"decoder": {"name": "gru", "residual": True}}, RESIDUAL.format("decoder")),
        (
            {"encoder": {"name": "cnn", "kernel_size": 4}},
            "encoder.kernel_size=4 must be odd, to look as far back as ahead; set encoder.kernel_size=5",
        ),
        (
            {"encoder": {"name": "transformer", "hidden_size": 10}},
            NO_MULTIPLE.format("encoder", 10, 4, 12),
        ),
        (
            {"embedding_size": 10, "encoder": {"name": "transformer", "num_heads": 16}},
            NO_MULTIPLE.format("encoder", 10, 16, 16),
        ),
        (
            {
                "attention": {"name": "multi_head", "key_size": 4, "value_size": 4},
                "decoder": {"name": "transformer", "hidden_size": 10},
            },
            NO_MULTIPLE.format("decoder", 10, 4, 12),
        ),
        (
            {"encoder": {"name": "transformer", "hidden_size": 12, "positions": "rotary"}},
            ROTARY.format("encoder", 12, 4, 3, 16),
        ),
        (
            {
                "attention": {"name": "multi_head"},
                "decoder": {"name": "transformer", "positions": "rotary", "hidden_size": 20},
            },
            ROTARY.format("decoder", 20, 4, 5, 24),
        ),
        (
            {"attention": {"name": "multi_head", "num_heads": 3, "value_size": 6}},
            SHARED_OUT.format("the decoder's hidden size", 512, 3, "key_size", 513),
        ),
        (
            {"attention": {"name": "multi_head", "value_size": 10}},
            SHARED_OUT.format("attention.value_size", 10, 4, "value_size", 12),
        ),
        (
            {"attention": {"name": "multi_head", "num_heads": 8, "key_size": 4}},
            SHARED_OUT.format("attention.key_size", 4, 8, "key_size", 8),
        ),
        (
            {"attention": {"name": "luong_location", "coverage": "neural"}},
            "attention.coverage=neural works through the keys, but attention=luong_location doesn't read the source; "
            "set attention.coverage=none",
        ),
    ],
)
def test_each_fault_says_what_to_set_and_that_mends_it(plain: dict[str, Any], message: str) -> None:
    assert faults(plain) == [message]
    fix = message.rpartition("set ")[2]
    if fix == "attention.coverage=none":
        plain = {"attention": {**plain["attention"], "coverage": "none"}}
    else:
        plain = mended(plain, fix)
    Config.from_dict(plain)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("encoder.lstm.hidden_size", 0, "from 1 to 65536"),
        ("encoder.lstm.recurrent_dropout", 1.0, "from 0.0 to 0.95"),
        ("encoder.cnn.positions", "rotary", "one of sinusoidal, learned"),
        ("encoder.transformer.max_length", 1, "from 2 to 1000000"),
        ("attention.bahdanau.activation", "gelu", "one of tanh, sigmoid, relu"),
        ("attention.bahdanau.attend", "none", "one of before_rnn, after_rnn"),
        ("attention.none.attend", "after_rnn", "none"),
        ("attention.luong_dot.window", "local", "one of none, local_m, local_p"),
        ("attention.luong_dot.window_size", 0, "from 1 to 1000000"),
        ("attention.luong_dot.normalizer", "entmax", "one of softmax, sparsemax, entmax15"),
        ("attention.luong_dot.coverage", True, "one of none, linguistic, neural"),
        ("attention.luong_dot.coverage_loss", -1, "from 0.0 to 1000.0"),
        ("attention.luong_dot.prior", "middle", "one of none, beginning, end, diagonal, band"),
        ("attention.luong_dot.prior_slope", "steep", "a number or auto"),
        ("attention.luong_dot.prior_weights", [1, "a"], "a list of numbers or null"),
        ("attention.luong_dot.temperature", 0, "from 0.01 to 1000.0"),
        ("attention.luong_location.max_source_length", 1, "from 2 to 1000000"),
        ("attention.multi_head.head_score", "cosine", "one of dot, scaled_dot, general, additive"),
        ("decoder.gnmt.num_layers", 1, "from 2 to 256"),
        ("decoder.gnmt.cell", "rnn", "one of lstm, gru"),
        ("decoder.lstm.attend", "during_rnn", "one of before_rnn, after_rnn, none or auto"),
        ("decoder.lstm.source_vector", "never", "one of initial, every_step"),
        ("objective.r_drop.alpha", -1, "from 0.0 to 1000.0"),
        ("objective.scheduled_sampling.probability", 1.5, "from 0.0 to 1.0"),
        ("objective.scheduled_sampling.schedule", "sudden", "one of linear, exponential, inverse_sigmoid"),
        ("objective.scheduled_sampling.predictions", "beam", "one of argmax, sampled"),
        ("objective.minimum_risk.samples", 0, "from 1 to 10000"),
    ],
)
def test_types_and_ranges(key: str, value: Any, allowed: str) -> None:
    """Of a component's option, group.name.option here."""
    group, name, option = key.split(".")
    shown = "true" if value is True else value
    message = f"{group}.{option}={shown} is not allowed: it must be {allowed}"
    assert faults({group: {"name": name, option: value}}) == [message]


def numeric(options: type[Any]) -> list[Any]:
    """The fields that take a number or a list of numbers."""
    hints = get_type_hints(options)
    numbers = (int, float, list[float])
    return [field for field in fields(options) if {*get_args(hints[field.name]), hints[field.name]} & {*numbers}]


@pytest.mark.parametrize(
    "options",
    [
        SearchConfig,
        *(options for group in ("encoder", "attention", "decoder") for options in COMPONENTS[group].values()),
    ],
    ids=lambda options: options.__name__,
)
def test_what_a_model_is_built_from_has_an_upper_bound(options: type[Any]) -> None:
    """A config may be a stranger's. The search's seed is hashed, so that any number will do."""
    unbounded = {field.name for field in numeric(options) if field.metadata.get("high") is None}
    assert unbounded == ({"seed"} if options is SearchConfig else set())


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("encoder.lstm.hidden_size", 10**12, "from 1 to 65536"),
        ("encoder.gru.num_layers", 10**9, "from 1 to 256"),
        ("encoder.cnn.kernel_size", 10**6 + 1, "from 1 to 1001"),
        ("encoder.cnn.max_length", 10**10, "from 2 to 1000000"),
        ("encoder.transformer.num_heads", 512, "from 1 to 256"),
        ("encoder.transformer.feedforward_size", 65537, "from 1 to 65536"),
        ("attention.bahdanau.key_size", 10**12, "from 1 to 65536"),
        ("attention.luong_dot.window_size", 10**7, "from 1 to 1000000"),
        ("attention.luong_dot.prior_weights", [1.0] * 1001, "a list of numbers, at most 1000 of them"),
        ("attention.luong_dot.prior_weights", [1e300], "from -1000000.0 to 1000000.0"),
        ("attention.luong_location.max_source_length", 10**10, "from 2 to 1000000"),
        ("decoder.gnmt.num_layers", 257, "from 2 to 256"),
        ("decoder.gru.readout_size", 10**12, "from 1 to 65536"),
    ],
)
def test_upper_bounds(key: str, value: Any, allowed: str) -> None:
    group, name, option = key.split(".")
    [message] = faults({group: {"name": name, option: value}})
    assert message.startswith(f"{group}.{option}={str(value)[:5]}")
    assert message.endswith(f" is not allowed: it must be {allowed}")
    assert len(message) < 200


def test_heads_share_out_keys_and_values() -> None:
    plain = {"attention": {"name": "multi_head", "num_heads": 6}, "decoder": {"name": "gru", "hidden_size": 100}}
    both = [SHARED_OUT.format("the decoder's hidden size", 100, 6, key, 102) for key in ("key_size", "value_size")]
    assert faults(plain) == both
    Config.from_dict(mended(mended(plain, "attention.key_size=102"), "attention.value_size=102"))


@pytest.mark.parametrize(
    "plain",
    [
        {"encoder": {"name": "lstm", "residual": True, "num_layers": 2}},
        {"encoder": {"name": "cnn", "kernel_size": 1}},
        {"encoder": {"name": "transformer", "hidden_size": 10, "num_heads": 5}},
        {"encoder": {"name": "transformer", "hidden_size": 12}},
        {"encoder": {"name": "transformer", "hidden_size": 12, "num_heads": 3, "positions": "rotary"}},
        {"attention": {"name": "multi_head", "num_heads": 1, "key_size": 7, "value_size": 5}},
        {"decoder": {"name": "gnmt", "residual": True}},
    ],
)
def test_neighbours_of_the_faults_are_accepted(plain: dict[str, Any]) -> None:
    Config.from_dict(plain)


@pytest.mark.parametrize(("text", "meant"), [(7, (7, None)), ("1 epoch", (None, 1)), ("12 epochs", (None, 12))])
def test_intervals(text: int | str, meant: tuple[int | None, int | None]) -> None:
    assert interval(text) == meant


@pytest.mark.parametrize("text", ["", "epoch", "0 epochs", "1.5 epochs", "1 epochs more", "-1 epoch"])
def test_what_is_no_interval(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an interval: use a number of updates such as 500, or '1 epoch'"):
        interval(text)


# --- sizes that follow from others


def test_a_size_is_its_own_or_anothers() -> None:
    assert (resolve("auto", 7), resolve(3, 7)) == (7, 3)


@pytest.mark.parametrize(
    ("encoder", "size", "layers", "cells"),
    [
        ({"name": "gru"}, 2 * 30, 1, False),
        ({"name": "lstm", "bidirectional": False, "num_layers": 3}, 30, 3, True),
        ({"name": "lstm", "hidden_size": 7}, 2 * 7, 1, True),
        ({"name": "mean"}, 30, 1, False),
        ({"name": "cnn", "hidden_size": 7}, 30, 1, False),
        ({"name": "transformer", "num_heads": 5}, 30, 1, False),
        ({"name": "transformer", "hidden_size": 8}, 8, 1, False),
    ],
)
def test_what_an_encoder_gives(encoder: dict[str, Any], size: int, layers: int, cells: bool) -> None:
    config = Config.from_dict({"embedding_size": 30, "encoder": encoder})
    assert config.encoder_size == config.decoder_size == size
    assert (config.encoder.state_layers, config.encoder.with_cell) == (layers, cells)


@pytest.mark.parametrize(
    ("decoder", "state", "features"),
    [
        ({"name": "lstm"}, 2 * 20, 20),
        ({"name": "conditional_gru", "hidden_size": 7}, 7, 20),
        ({"name": "gnmt", "readout_size": 9}, 2 * 20, 9),
        ({"name": "transformer"}, 20, 20),
        ({"name": "transformer", "hidden_size": 8}, 8, 8),
    ],
)
def test_sizes_of_a_decoder(decoder: dict[str, Any], state: int, features: int) -> None:
    attention = "multi_head" if decoder["name"] == "transformer" else "luong_general"
    config = Config.from_dict({"embedding_size": 20, "encoder": "gru", "attention": attention, "decoder": decoder})
    assert (config.decoder_size, config.readout_size) == (state, features)


def test_the_longest_source_is_the_least_that_one_can_read() -> None:
    assert Config().longest_source is None
    location = {"name": "luong_location", "max_source_length": 300}
    assert Config.from_dict({"attention": location}).longest_source == 300
    for longest, least in ((270, 270), (400, 300)):
        plain = {"attention": location, "encoder": {"name": "cnn", "max_length": longest}}
        assert Config.from_dict(plain).longest_source == least
    sinusoidal = {"name": "cnn", "max_length": 270, "positions": "sinusoidal"}
    assert Config.from_dict({"encoder": sinusoidal}).longest_source is None


def test_the_data_fit_a_slope_that_is_auto() -> None:
    options = LuongGeneralConfig()
    assert options.fitted(1.25) == replace(options, prior_slope=1.25)
    given = replace(options, prior_slope=2.0)
    assert given.fitted(1.25) is given
    assert NoAttentionConfig().fitted(1.25) == NoAttentionConfig()


# --- words of the command line


def typed(value: Any) -> str:
    """As a user writes it: `true`, `3` of 3.0, `[1,0.5]`."""
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (
            "",
            {
                "attention.window": "local_p",
                "attention.window_size": 3,
                "attention.coverage_size": 4,
                "attention.coverage_loss": 0.5,
                "attention.max_fertility": 3.0,
                "attention.normalizer": "entmax15",
                "attention.prior": "band",
                "attention.prior_strength": 2.0,
                "attention.prior_width": 4.0,
                "attention.prior_slope": 1.5,
                "attention.prior_weights": [1.0, 0.5],
                "attention.value_size": 64,
                "attention.dropout": 0.1,
                "attention.temperature": 0.5,
                "decoder.attend": "before_rnn",
                "decoder.readout": "maxout",
                "data.reverse_source": True,
                **{f"{group}.layer_norm": True for group in ("encoder", "decoder")},
                **{f"{group}.locked_dropout": True for group in ("encoder", "decoder")},
                **{f"{group}.recurrent_dropout": 0.25 for group in ("encoder", "decoder")},
                "search.coverage_penalty": 0.2,
                "search.block_ngram": 3,
                "search.repetition_penalty": 1.2,
            },
        ),
        ("encoder.num_layers=2 decoder.num_layers=2", {"encoder.residual": True, "decoder.residual": True}),
        ("attention=bahdanau", {"attention.activation": "relu", "attention.coverage": "linguistic"}),
        ("attention=multi_head", {"attention.num_heads": 8, "attention.head_score": "additive"}),
        ("attention=luong_location", {"attention.max_source_length": 400}),
        ("attention=none", {"decoder.source_vector": "every_step"}),
        ("decoder=gnmt objective=r_drop", {"decoder.cell": "gru", "objective.alpha": 2.0}),
        ("objective=scheduled_sampling", {"objective.schedule": "linear", "objective.predictions": "sampled"}),
        ("init=RUN objective=minimum_risk", {"objective.reference": False}),
    ],
)
def test_a_word_of_the_command_line_sets_one_option(before: str, changes: dict[str, Any]) -> None:
    """The option that it names, and none beside it."""
    words = [f"{key}={typed(value)}" for key, value in changes.items()]
    changed, expected = compose([*before.split(), *words]), compose(before.split())
    for key, value in changes.items():
        group, option = key.split(".")
        assert getattr(getattr(expected, group), option) != value, key
        expected = expected.replace(**{group: replace(getattr(expected, group), **{option: value})})
    assert changed == expected


@dataclass(frozen=True)
class OwnConfig(AttentionConfig):
    """As a user writes it, in a script that registers a score."""

    name: str = "own_score"
    scale: float = 1.0


@pytest.fixture
def own_score(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`attention=own_score`, also for Hydra, which keeps what was stored."""
    monkeypatch.setitem(COMPONENTS["attention"], "own_score", OwnConfig)
    yield
    ConfigStore.instance().repo.get("attention", {}).pop("own_score.yaml", None)


@pytest.mark.usefixtures("own_score")
def test_an_attention_of_ones_own_has_all_that_the_others_have() -> None:
    shared: dict[str, Any] = {
        "window": "local_p", "window_size": 3, "coverage": "neural", "coverage_loss": 0.5, "normalizer": "sparsemax",
        "prior": "diagonal", "value_size": 64, "dropout": 0.1, "temperature": 2.0, "prior_weights": [1.0],
    }  # fmt: skip
    composed = compose(["attention=own_score", "attention.scale=3", *(f"attention.{k}={v}" for k, v in shared.items())])
    assert composed.attention == OwnConfig(scale=3.0, **shared)
    assert composed.attend == "after_rnn"
    assert composed.attention.fitted(1.5).prior_slope == 1.5
    assert Config.from_dict(composed.to_dict()) == composed
    assert {field.name for field in fields(AttentionConfig)} >= {"attend", *shared}


@pytest.mark.usefixtures("own_score")
def test_an_attention_of_ones_own_is_refused_where_the_others_are() -> None:
    assert faults({"attention": {"name": "own_score", "scael": 3}}) == [
        "unknown option attention.scael: did you mean attention.scale?"
    ]
    assert faults({"attention": {"name": "luong_dot", "scale": 3.0}})[0].startswith(
        "attention=luong_dot has no attention.scale, which attention=own_score has; allowed are attention.attend, "
    )
    assert faults({"attention": "own_score", "decoder": "transformer"})[0].startswith(
        "decoder=transformer takes attention=multi_head, not attention=own_score: "
    )
