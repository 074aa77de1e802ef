"""Going on with a run: what may be another, what may not, and how that is said."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import Config
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.schema import COMPONENTS
from seq2seq.training.resume import (
    BY_CONTENT,
    COMMAND,
    FREE,
    MACHINE,
    amended,
    continued,
    refuse_changed_data,
)

WHERE = "runs/a"
# Another value of these is another training. An option that is new must be put here, or among those of resume.py.
REFUSED = {
    *("init", "seed", "embedding_size", "tie_embeddings"),
    *(f"data.{key}" for key in ("source", "target", "valid_split", "reverse_source", "max_length")),
    *("data.bpe_dropout", "data.unigram_alpha"),
    *(f"tokenizer.{key}" for key in ("name", "vocab_size", "shared", "model", "character_coverage")),
    *(f"trainer.{key}" for key in ("batch_tokens", "batch_sentences", "accumulate")),
    *(f"trainer.{key}" for key in ("best", "label_smoothing", "clip_norm", "average_decay")),
}
REFUSED_GROUPS = (  # all of their keys
    "encoder", "attention", "decoder", "objective", "optimizer", "scheduler", "search", "metric",
)  # fmt: skip


def config(**changes: Any) -> Config:
    return Config.from_dict(
        {
            "run": WHERE,
            "data": {"train": ["a", "b"], "valid": "v", "test": {"news": "n"}},
            "encoder": {"name": "gru"},
            "decoder": {"name": "gru"},
            **changes,
        }
    )


def keys(options: Any, prefix: str = "") -> list[str]:
    """All options, by dotted key."""
    found = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        below = dataclasses.is_dataclass(value)
        found += keys(value, f"{prefix}{field.name}.") if below else [f"{prefix}{field.name}"]
    return found


def test_every_option_is_one_or_the_other() -> None:
    """Nobody adds an option without having said whether a run may go on with another value of it."""
    sets = (COMMAND, FREE, MACHINE, BY_CONTENT, REFUSED)
    options = config(scheduler="cosine")
    for key in keys(options):
        if key.partition(".")[0] in REFUSED_GROUPS and key not in FREE:
            assert not any(key in options for options in sets), key
        else:
            assert sum(key in options for options in sets) == 1, f"{key} is classified nowhere, or twice"
    assert set.union(*sets) <= set(keys(options))
    assert set(COMPONENTS) <= set(REFUSED_GROUPS)


def other(value: Any, key: str) -> Any:
    """Another value that the option takes."""
    by_key = {
        **dict.fromkeys(("trainer.validate_every", "trainer.save_every"), "1 epoch"),
        "data.test": {"news": "n", "web": "w"},
        "data.train": ["c", "b"],
        "device": "mps",
        "precision": "fp32",
        "trainer.patience": 3,
        "trainer.max_updates": 10,
        "trainer.max_minutes": 1.5,
        "threads": 3,
        "data.workers": 3,
        "trainer.tensorboard": False,
    }
    if key in by_key and value != by_key[key]:
        return by_key[key]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}x" if "every" not in key else 7


def with_value(base: Config, key: str, value: Any) -> Config:
    *groups, name = key.split(".")
    plain = place = base.to_dict()
    for group in groups:
        place = place[group]
    place[name] = value
    return Config.from_dict(plain)


def at(of: Config, key: str) -> Any:
    value: Any = of
    for name in key.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("key", sorted(FREE | MACHINE | BY_CONTENT))
def test_what_may_change_changes_and_is_told(key: str) -> None:
    stored = config(device="cpu", scheduler={"name": "cosine", "decay_updates": 70})
    asked = with_value(stored, key, other(at(stored, key), key))
    assert at(asked, key) != at(stored, key)
    result, changes = continued(stored, asked, WHERE)
    assert changes == {key: (at(stored, key), at(asked, key))}
    assert result == asked


REFUSALS = {
    "init": "other",
    "seed": 2,
    "embedding_size": 32,
    "tie_embeddings": "none",
    "data.source": "fr",
    "data.target": "fr",
    "data.valid_split": 5,
    "data.reverse_source": True,
    "data.max_length": 9,
    "data.bpe_dropout": 0.1,
    "tokenizer.name": "unigram",
    "tokenizer.vocab_size": 99,
    "tokenizer.shared": False,
    "tokenizer.model": "other",
    "tokenizer.character_coverage": 0.99,
    "trainer.batch_sentences": 5,
    "trainer.accumulate": 2,
    "trainer.best": "loss",
    "trainer.label_smoothing": 0.2,
    "trainer.clip_norm": None,
    "trainer.average_decay": 0.99,
    "encoder.dropout": 0.45,
    "attention.coverage_loss": 1.0,
    "decoder.num_layers": 3,
    "objective.name": "r_drop",
    "optimizer.learning_rate": 0.5,
    "scheduler.patience": 9,
    "search.beam_size": 2,
    "metric.lowercase": True,
}


@pytest.mark.parametrize("key", REFUSALS)
def test_what_makes_another_training_is_refused(key: str) -> None:
    base = config()
    with pytest.raises(CheckpointError, match=rf"\n{re.escape(key)}: .* in the run, .* asked for\n"):
        continued(base, with_value(base, key, REFUSALS[key]), WHERE)


def test_the_refusals_above_are_all_but_those_that_go_with_another() -> None:
    assert REFUSED - set(REFUSALS) == {"trainer.batch_tokens", "data.unigram_alpha"}
    assert {key.partition(".")[0] for key in REFUSALS} >= set(REFUSED_GROUPS)


def test_all_differences_stand_with_both_values() -> None:
    stored = config()
    asked = config(
        seed=2,
        trainer={"batch_tokens": 500, "batch_sentences": None, "max_epochs": 7, "clip_norm": None},
        encoder={"name": "gru", "dropout": 0.5},
        tokenizer={"shared": False},
    )
    with pytest.raises(CheckpointError) as raised:
        continued(stored, asked, WHERE)
    assert str(raised.value) == (
        "run=runs/a can't be gone on with under another config:\n"
        f"encoder.dropout: {stored.encoder.dropout} in the run, 0.5 asked for\n"
        "seed: 1 in the run, 2 asked for\n"
        "tokenizer.shared: true in the run, false asked for\n"
        "trainer.batch_sentences: 64 in the run, null asked for\n"
        "trainer.batch_tokens: null in the run, 500 asked for\n"
        "trainer.clip_norm: 1.0 in the run, null asked for\n"
        "leave these options out to go on with the run's own, or name another folder"
    )


@pytest.mark.parametrize("group", sorted(COMPONENTS))
def test_another_component_is_refused_in_a_few_lines(group: str) -> None:
    """Its name, and of its options those that both have."""
    parts = [options() for options in COMPONENTS[group].values()]
    for one in parts:
        for two in parts:
            if one.name == two.name:
                continue
            stored, asked = (dataclasses.replace(config(), **{group: part}) for part in (one, two))
            with pytest.raises(CheckpointError) as raised:
                continued(stored, asked, WHERE)
            lines = str(raised.value).splitlines()[1:-1]
            assert f"{group}.name: {one.name} in the run, {two.name} asked for" in lines
            named = {line.partition(":")[0].removeprefix(f"{group}.") for line in lines}
            assert named <= {field.name for field in dataclasses.fields(one)} & {
                field.name for field in dataclasses.fields(two)
            }
            assert all(len(line) < 120 for line in lines)


def test_long_values_are_shortened() -> None:
    with pytest.raises(CheckpointError) as raised:
        continued(config(), config(init="x" * 4000), WHERE)
    assert max(map(len, str(raised.value).splitlines())) < 250


def test_auto_asks_for_what_it_came_to() -> None:
    stored = config(
        device="cpu",
        precision="fp32",
        threads=3,
        scheduler={"name": "cosine", "decay_updates": 70},
        attention={"name": "bahdanau", "prior": "diagonal", "prior_slope": 1.3},
    )
    asked = config(
        scheduler={"name": "cosine", "decay_updates": "auto"},
        attention={"name": "bahdanau", "prior": "diagonal", "prior_slope": "auto"},
        trainer={"max_epochs": 99},
    )
    result, changes = continued(stored, asked, WHERE)
    assert changes == {"trainer.max_epochs": (30, 99)}
    assert result == dataclasses.replace(stored, trainer=asked.trainer)


def test_a_value_in_the_place_of_auto_is_a_difference() -> None:
    """A longer training may go on learning: the end of a cosine can be moved, but not by itself."""
    stored = config(scheduler={"name": "cosine", "decay_updates": 70})
    asked = config(scheduler={"name": "cosine", "decay_updates": 80})
    assert continued(stored, asked, WHERE)[1] == {"scheduler.decay_updates": (70, 80)}
    with pytest.raises(CheckpointError, match=r"scheduler\.final_ratio: 0\.0 in the run, 0\.5 asked for"):
        continued(stored, config(scheduler={"name": "cosine", "decay_updates": 70, "final_ratio": 0.5}), WHERE)


def test_the_command_itself_is_no_difference() -> None:
    """A folder may have been moved; and what is stored begins nothing anew."""
    result, changes = continued(config(), config(run="moved", resume="auto"), "moved")
    assert changes == {}
    assert (result.run, result.resume) == ("moved", "never")


def test_training_texts_may_move_but_not_be_read_more_often() -> None:
    """Files are known by their content, and the same file twice has one content."""
    stored = config(data={"train": ["a", "b", "a"], "valid": "v"})
    moved = config(data={"train": ["x/a", "x/b", "x/a"], "valid": "x/v"})
    result, changes = continued(stored, moved, WHERE)
    assert result.data.train == ["x/a", "x/b", "x/a"]
    assert changes.keys() == {"data.train", "data.valid"}
    for train in (["a", "b"], ["a", "b", "b"], ["a", "b", "a", "a"], ["a", "b", "c"]):
        with pytest.raises(CheckpointError, match=r"\ndata\.train: \['a', 'b', 'a'\] in the run, "):
            continued(stored, config(data={"train": train, "valid": "v"}), WHERE)


def test_amended_takes_the_options_named_and_no_others() -> None:
    stored = config(seed=5, data={"train": "a", "test": {"news": "n", "old": "o"}})
    asked = config(
        seed=9,
        threads=2,
        data={"train": "z", "test": {"news": "m"}},
        trainer={"max_epochs": 3, "patience": 1},
        metric={"tokenize": "char", "lowercase": True},
    )
    result = amended(
        stored, asked.to_dict(), ["trainer.max_epochs", "data.test.news", "metric", "hydra.verbose", "threads"]
    )
    assert result == dataclasses.replace(
        stored,
        threads=2,
        data=dataclasses.replace(stored.data, test={"news": "m"}),
        trainer=dataclasses.replace(stored.trainer, max_epochs=3),
        metric=asked.metric,
    )
    assert amended(stored, asked.to_dict(), []) == stored


def test_amended_tells_options_from_others_that_begin_alike() -> None:
    stored, asked = config(), config(seed=2, trainer={"patience": 1, "max_epochs": 3})
    assert amended(stored, asked.to_dict(), ["trainer.max", "see", "trainer.patience_", "run_"]) == stored


def test_amended_is_checked_like_any_config() -> None:
    stored = config(trainer={"batch_tokens": 100, "batch_sentences": None})
    with pytest.raises(ConfigError, match="batch_tokens"):
        amended(stored, config().to_dict(), ["trainer.batch_sentences"])


def files(*contents: str, folder: str = "") -> dict[str, str]:
    """Four files of these contents, as data.json has them."""
    names = [f"{folder}a.de", f"{folder}a.en", f"{folder}b.de", f"{folder}b.en"]
    return dict(zip(names, contents, strict=False))


THEN = {"train": files("1", "2", "3", "4"), "valid": {"v.de": "5", "v.en": "6"}, "test": {"news": {"n.de": "7"}}}


def test_the_same_files_elsewhere_pass() -> None:
    moved = {"train": files("1", "2", "3", "4", folder="x/"), "valid": {"x/w.de": "5", "x/w.en": "6"}}
    refuse_changed_data(THEN, THEN, WHERE)
    refuse_changed_data(THEN, moved, WHERE)  # and test sets may be any


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        ({"train": files("1", "2", "!", "4")}, ["data.train: b.de has changed"]),
        ({"train": files("1", "2")}, ["data.train: b.de is missing", "data.train: b.en is missing"]),
        ({"train": {**files("1", "2", "3", "4"), "c.de": "8"}}, ["data.train: c.de is new"]),
        ({"train": {"c.de": "8", **files("1", "2", "3", "4")}}, ["data.train: c.de is new"]),
        (
            {"train": files("3", "4", "1", "2")},
            ["data.train: the same files in another order or number: a.de, a.en, b.de, b.en"],
        ),
        (
            {"train": files("1", "2", "3", "!", folder="x/")},
            ["data.train: b.en is missing", "data.train: x/b.en is new"],
        ),
        ({"valid": {"v.de": "5", "v.en": "!"}}, ["data.valid: v.en has changed"]),
        ({"valid": {}}, ["data.valid: v.de is missing", "data.valid: v.en is missing"]),
        (
            {"train": files("!", "2", "3", "4"), "valid": {"v.de": "!", "v.en": "6"}},
            ["data.train: a.de has changed", "data.valid: v.de has changed"],
        ),
    ],
)
def test_other_files_are_refused_and_named(now: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(CheckpointError) as raised:
        refuse_changed_data(THEN, {**THEN, **now}, WHERE)
    assert str(raised.value) == "\n".join(
        [
            "run=runs/a was trained on other data:",
            *lines,
            "bring the files back, or train anew in another folder (init=FOLDER starts from its weights)",
        ]
    )


def test_a_run_that_doesn_t_say_what_it_was_trained_on_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"data\.train: a\.de is new"):
        refuse_changed_data({}, THEN, str(Path(WHERE)))
