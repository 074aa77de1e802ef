"""Batches spread over processes: what comes is what one process gives, or one clear error."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.evaluation import spreading
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


def same_texts(ones, others) -> bool:
    return [one.hypotheses[0].text for one in ones] == [other.hypotheses[0].text for other in others]


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
def test_any_search(translator: Translator, spread: Translator, search: dict) -> None:
    """Also one that the processes were not started with."""
    found = spread.with_search(search).translate(LINES, batch_size=3)
    assert same(found, translator.with_search(search).translate(LINES, batch_size=3))


def test_an_ensemble_with_tied_weights(translator: Translator) -> None:
    """As the model has them, so have the processes: tied to each other, and not to another member's."""
    model = copy.deepcopy(translator.model)
    with torch.no_grad():
        model.output.weight = torch.nn.Parameter(torch.randn_like(model.output.weight))
    parts = (translator.tokenizers, translator.limit, translator.search, translator.runtime)
    both = Translator(translator.model, *parts, others=[model, translator.model])
    with both.spread(1) as spread:
        assert same(spread.translate(LINES, batch_size=3), both.translate(LINES, batch_size=3))
    assert not same_texts(both.translate(LINES), translator.translate(LINES))


def test_none_is_this_process(translator: Translator) -> None:
    with translator.spread(0) as spread:
        assert spread.crew is None
        assert same(spread.translate(LINES), translator.translate(LINES))


def test_when_the_processes_have_gone_it_goes_on_alone(translator: Translator) -> None:
    with translator.spread(1) as spread, spread.spread(1) as again:
        assert same(again.translate(SOURCES), translator.translate(SOURCES))
    assert same(spread.translate(SOURCES), translator.translate(SOURCES))


@pytest.mark.parametrize("alone", [0.0, 3600.0])
def test_processes_that_begin_later_end_with_their_context(
    translator: Translator, alone: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "SECONDS_ALONE", alone)
    runtime = dataclasses.replace(translator.runtime, threads=2)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    with other.spread("auto") as spread:
        assert isinstance(spread.crew, spreading.Later)
        assert same(spread.translate(LINES, batch_size=3), translator.translate(LINES, batch_size=3))
        assert (spread.crew.crew is None) == (alone > 0)
    assert spread.crew is None
    assert same(spread.translate(LINES, batch_size=3), translator.translate(LINES, batch_size=3))


def test_one_core_has_nothing_to_divide(translator: Translator) -> None:
    runtime = dataclasses.replace(translator.runtime, threads=1)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    with other.spread("auto") as spread:
        assert spread.crew is None


def test_integers(translator: Translator) -> None:
    runtime = dataclasses.replace(translator.runtime, precision="int8")
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    with other.spread(1) as spread:
        assert same(spread.translate(LINES, batch_size=3), other.translate(LINES, batch_size=3))


def test_threads_are_divided(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the processes themselves have them."""
    runtime = dataclasses.replace(translator.runtime, threads=5)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    monkeypatch.setattr(other, "found_together", partial(eval, "__import__('torch').get_num_threads()"))
    with other.spread(2) as spread:
        assert spread.crew is not None
        assert list(spread.crew.answers([None, None])) == [2, 2]


@pytest.mark.parametrize(("threads", "workers", "each"), [(8, 2, 4), (3, 2, 1), (1, 2, 1)])
def test_a_process_has_its_share_of_threads(translator: Translator, threads: int, workers: int, each: int) -> None:
    runtime = dataclasses.replace(translator.runtime, threads=threads)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    assert spreading._BatchTask(other, workers).asked.threads == each


def test_an_error_is_the_one_that_one_process_gives(translator: Translator, make_translator) -> None:
    broken = make_translator(SOURCES, TARGETS, "bpe", "lstm", "luong_general")
    with torch.no_grad():
        broken.model.output.weight.fill_(float("nan"))
    with pytest.raises(CheckpointError, match=r"^line \d+: the model gives it no probabilities") as alone:
        broken.translate(LINES, batch_size=3)
    with broken.spread(1) as spread:
        for _ in range(2):
            with pytest.raises(CheckpointError) as raised:
                spread.translate(LINES, batch_size=3)
            assert str(raised.value) == str(alone.value)


def test_only_a_cpus_work_is_spread(translator: Translator) -> None:
    runtime = Runtime(torch.device("meta"), "fp32", 1)
    other = Translator(translator.model, translator.tokenizers, translator.limit, translator.search, runtime)
    message = "workers=2: only a CPU's work is spread, and the device is meta"
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
