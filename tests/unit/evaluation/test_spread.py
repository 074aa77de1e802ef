"""Batches spread over processes: what comes is what one process gives, or one clear error."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch

from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.evaluation import translator as module
from seq2seq.evaluation.translator import Translator
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import Runtime

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind findet den Weg nach Hause", "uns", "der Weg"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child finds the way home", "us", "the way"]
LINES = [*SOURCES, "", "die Katze sieht den Weg", " ", *SOURCES[::-1], "das Haus und der Weg nach Hause und uns"]


@pytest.fixture(scope="module")
def translator(make_translator) -> Translator:
    return make_translator(SOURCES, TARGETS, "bpe", "lstm", "luong_general")


@pytest.fixture(scope="module")
def spread(translator: Translator) -> Iterator[Translator]:
    with translator.spread(2) as spread:
        yield spread


def same(ones, others) -> bool:
    for one, other in zip(ones, others, strict=True):
        assert (one.source, one.source_tokens) == (other.source, other.source_tokens)
        for a, b in zip(one.hypotheses, other.hypotheses, strict=True):
            assert (a.text, a.score, a.log_prob, a.tokens) == (b.text, b.score, b.log_prob, b.tokens)
            assert (a.attention is None) == (b.attention is None)
            assert a.attention is None or torch.equal(a.attention, b.attention)
    return True


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_results_are_those_of_one_process(
    translator: Translator, spread: Translator, batch_size: int, attention: bool
) -> None:
    given = {"batch_size": batch_size, "attention": attention}
    assert same(spread.translate(LINES, **given), translator.translate(LINES, **given))


def test_prefixes_and_attention_biases_travel_too(translator: Translator, spread: Translator) -> None:
    pieces = [len(translation.source_tokens) for translation in translator.translate(SOURCES)]
    biases = [[2.0] + [0.0] * (pieces[0] - 1), None, [1.0] * pieces[2], None, [3.0] * pieces[4]]
    given = {"prefixes": ["the"] * len(SOURCES), "attention_bias": biases}
    assert same(spread.translate(SOURCES, **given), translator.translate(SOURCES, **given))


@pytest.mark.parametrize("search", [{"n_best": 3}, {"sample": True, "n_best": 2}, {"beam_size": 1}])
def test_any_search(translator: Translator, search: dict) -> None:
    other = translator.with_search(search)
    with other.spread(2) as spread:
        assert same(spread.translate(LINES, batch_size=3), other.translate(LINES, batch_size=3))


def test_integers(translator: Translator) -> None:
    runtime = dataclasses.replace(translator.runtime, precision="int8")
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    with other.spread(2) as spread:
        assert same(spread.translate(LINES, batch_size=3), other.translate(LINES, batch_size=3))


def test_threads_are_divided(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = []
    monkeypatch.setattr(module, "Crew", lambda task, *_: nullcontext(tasks.append(task)))
    runtime = dataclasses.replace(translator.runtime, threads=8)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    for workers, threads in ((2, 4), (3, 2), (20, 1)):
        with other.spread(workers):
            assert tasks[-1].asked.threads == threads


def test_an_error_is_the_one_that_one_process_gives(translator: Translator, make_translator) -> None:
    broken = make_translator(SOURCES, TARGETS, "bpe", "lstm", "luong_general")
    with torch.no_grad():
        broken.model.output.weight.fill_(float("nan"))
    with broken.spread(2) as spread:
        for _ in range(2):
            with pytest.raises(CheckpointError, match=r"^line \d+: the model gives it no probabilities"):
                spread.translate(LINES, batch_size=3)


def test_only_a_cpus_work_is_spread(translator: Translator) -> None:
    runtime = Runtime(torch.device("meta"), "fp32", 1)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    message = "workers=2: only a CPU's work is spread, and this model is on meta"
    with pytest.raises(ConfigError, match=f"^{message}$"), other.spread(2):
        pass


def test_a_model_of_a_class_that_no_module_has(translator: Translator) -> None:
    class Own(Seq2Seq):
        pass

    own = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, translator.runtime)
    model = Own.__new__(Own)
    model.__dict__ = own.model.__dict__
    own.members.models[0] = model
    message = r"^nothing can be given to a process that translates \(.*\); set workers=0 or define what"
    with pytest.raises(DataError, match=message), own.spread(2):
        pass
