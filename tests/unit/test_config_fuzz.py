"""Config.from_dict on whatever a stranger's config.json may hold: a Config that can be built, or a ConfigError."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import date
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.models.build import build_model
from seq2seq.options import AdamConfig, LSTMEncoderConfig
from seq2seq.schema import COMPONENTS

LONGEST_MESSAGE = 20_000
PARTS = {key: field.default_factory for key, field in Config.__dataclass_fields__.items()}
SECTIONS = {key: make for key, make in PARTS.items() if make is not dataclasses.MISSING and key not in COMPONENTS}

repeatable = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# --- configs as people write them


def values(field: Any, hint: Any) -> st.SearchStrategy[Any]:
    """What an option allows by itself, its bounds above all; its default where that can't be told from its type."""
    kinds = get_args(hint) if get_origin(hint) not in (None, Literal, list, dict) else (hint,)
    low, high = field.metadata.get("low"), field.metadata.get("high")
    found: list[Any] = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            found += get_args(kind)
        elif kind is bool:
            found += [True, False]
        elif kind in (int, float) and low is not None:
            found += [kind(low + distance) for distance in (0, 1, 3, 7) if high is None or low + distance <= high]
            if high is not None and field.name != "num_layers":  # which is slow: below, the largest once
                found += [high, kind((low + high) / 2)]
    return st.sampled_from(found) if found else st.nothing()


def options_of(cls: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    hints = get_type_hints(cls)
    known = {field.name: values(field, hints[field.name]) for field in dataclasses.fields(cls) if field.name != "name"}
    drawn = {name: strategy for name, strategy in known.items() if not strategy.is_empty}
    return st.lists(st.sampled_from(sorted(drawn)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: drawn[name] for name in names})
    ) if drawn else st.just({})  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A component for every group, and a few options here and there."""
    plain: dict[str, Any] = {}
    for group in COMPONENTS:
        name = draw(st.sampled_from(sorted(COMPONENTS[group])))
        plain[group] = {"name": name} | draw(options_of(COMPONENTS[group][name]))
    if plain["decoder"]["name"] == "transformer" and plain["attention"]["name"] != "multi_head":
        plain["attention"] = {"name": "multi_head"}
    for section, make in SECTIONS.items():
        if draw(st.integers(0, 3)) == 0:
            plain[section] = draw(options_of(make))
    plain["embedding_size"] = draw(st.sampled_from([4, 16, 256, 65_536]))
    return plain


# --- and as nobody does


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


MONSTERS: dict[str, Any] = {  # by the names under which hypothesis, which prints all that it draws, gets to see them
    "!digits": -(10**5000),
    "!long": "x" * 10**6,
    "!deep": deep(50_000),
    "!numbers": [0.5] * 20_000,
    "!mapping": dict.fromkeys(map(str, range(20_000)), "x"),
    "!key": {"x" * 10**6: 1, 10**5000: 2},
    "!name": {"name": "x" * 10**6},
    "!deep name": {"name": deep(5000)},
    "!options": {"name": "lstm"} | dict.fromkeys(map(str, range(5000))),
}
OBJECTS = st.sampled_from(
    [
        object(), set(), {"gru"}, b"gru", bytearray(3), ("a", 1), range(3), int, len, 1j, Decimal("NaN"), ...,
        date(2020, 1, 1), LSTMEncoderConfig(), LSTMEncoderConfig(hidden_size=-1), LSTMEncoderConfig(name="gru"),
        LSTMEncoderConfig, AdamConfig(betas=[2.0]), Config(), torch.ones(2), torch.float32,
    ]
)  # fmt: skip
NUMBERS = st.sampled_from(
    [
        0, -1, 1, 2, 3, 2**31, 2**63 - 1, 2**63, -(2**63), 10**12, 10**400, 0.0, -0.0, 1e-320, 0.5, 1e308,
        float("nan"), float("inf"), float("-inf"), True, False, None,
    ]
)  # fmt: skip
TEXTS = st.sampled_from(
    [
        "", "auto", "none", "1 epoch", "9" * 4000 + " epochs", "a\0b", "\ud800", "\u202e\x1b[2J\n", "../../x",
        "/etc/passwd", "名" * 90, "_target_", "os.system", "name", "transformer", "multi_head", "cnn", "١ epoch",
    ]
)  # fmt: skip
LEAVES = st.one_of(
    NUMBERS, TEXTS, OBJECTS, st.sampled_from(sorted(MONSTERS)), st.integers(), st.floats(), st.text(max_size=8)
)
KEYS = st.one_of(TEXTS, NUMBERS, st.sampled_from([*Config.__dataclass_fields__, "betas", "test", (1, 2), b"name"]))
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def summoned(plain: Any) -> Any:
    """With the monsters in the place of their names."""
    if isinstance(plain, dict):
        return {key: summoned(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [summoned(value) for value in plain]
    return MONSTERS.get(plain, plain) if isinstance(plain, str) else plain


@st.composite
def mutated(draw: st.DrawFn) -> dict[Any, Any]:
    """A config in which a few things were dropped, renamed, replaced, added, repeated elsewhere or wrapped."""
    plain: dict[Any, Any] = draw(configs())
    for _ in range(draw(st.integers(1, 4))):
        inside = [plain, *(value for value in plain.values() if isinstance(value, dict))]
        place = draw(st.sampled_from(inside))
        key = draw(st.sampled_from(sorted(place, key=repr))) if place else draw(KEYS)
        change = draw(st.sampled_from(["drop", "rename", "replace", "add", "repeat", "wrap", "monster"]))
        old = place.get(key)
        if change in ("drop", "rename"):
            place.pop(key, None)
        if change == "rename":
            place[draw(KEYS)] = old
        elif change in ("replace", "add"):
            place[key if change == "replace" else draw(KEYS)] = draw(JUNK)
        elif change == "repeat":
            draw(st.sampled_from(inside))[key] = copy.copy(old)
        elif change == "wrap":
            place[key] = draw(st.sampled_from([[old], {key: old}, {"name": old}, str(old)]))
        elif change == "monster":
            place[key] = draw(st.sampled_from(sorted(MONSTERS)))
    return plain


# --- and what becomes of them


def parsed(plain: Any) -> Config | None:
    try:
        return Config.from_dict(summoned(plain))
    except ConfigError as error:
        message = str(error)
    assert 0 < len(message) < LONGEST_MESSAGE
    assert message.replace("\n", "").isprintable()
    return None


def assert_sound(config: Config) -> None:
    """It survives JSON, and it builds without memory, so that its sizes can be compared with a file's before."""
    plain = config.to_dict()
    assert Config.from_dict(plain) == config
    assert Config.from_dict(json.loads(json.dumps(plain, allow_nan=False))) == config
    with torch.device("meta"):
        model = build_model(config, 100, 100)
    assert {tensor.device.type for tensor in [*model.parameters(), *model.buffers()]} == {"meta"}


@pytest.mark.slow
@settings(repeatable, max_examples=100)
@given(configs())
def test_what_is_accepted_survives_json_and_builds_without_memory(plain: dict[str, Any]) -> None:
    config = parsed(plain)
    assume(config is not None)  # were most of them refused, hypothesis would complain
    assert config is not None
    assert_sound(config)


@settings(repeatable, max_examples=200)
@given(mutated())
def test_whatever_is_done_to_a_config_gives_a_sound_one_or_a_config_error(plain: dict[Any, Any]) -> None:
    config = parsed(plain)
    if config is not None:
        assert_sound(config)


@settings(repeatable, max_examples=150)
@given(st.dictionaries(KEYS, JUNK, max_size=8))
def test_junk_gives_a_config_error_or_a_sound_config(plain: dict[Any, Any]) -> None:
    config = parsed(plain)
    if config is not None:
        assert_sound(config)


LARGE = {"embedding_size": 65_536}
WIDE = {"hidden_size": 65_536}


@pytest.mark.parametrize(
    "plain",
    [
        LARGE | {"encoder": {"name": "lstm", "num_layers": 256} | WIDE, "decoder": {"name": "gru", "num_layers": 256}},
        {"encoder": {"name": "cnn", "num_layers": 256, "kernel_size": 1001, "max_length": 1_000_000} | WIDE},
        {"encoder": {"name": "transformer", "num_layers": 256, "num_heads": 256} | WIDE, "decoder": "gnmt"},
        {
            "attention": {"name": "multi_head", "num_heads": 256},
            "decoder": {"name": "transformer", "num_layers": 16} | WIDE,
        },
    ],
    ids=["rnn", "cnn", "transformer", "heads"],
)
def test_the_largest_that_is_allowed_takes_neither_time_nor_memory(plain: dict[str, Any]) -> None:
    """Terabytes, were their weights allocated."""
    config = parsed(plain)
    assert config is not None
    assert_sound(config)
