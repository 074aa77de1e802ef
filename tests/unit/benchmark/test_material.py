"""Text and models that are measured."""

import pytest
import torch

from seq2seq.benchmark.material import random_pairs, words
from seq2seq.benchmark.translating import Translating


@pytest.mark.parametrize("size", [5, 20, 1000])
def test_made_up_words_are_a_vocabulary_of_the_stated_size(size: int) -> None:
    pair = words(size)
    assert pair.shared
    assert pair.source.vocab_size == size
    assert sorted(i for w in range(size - 4) for i in pair.source.encode(f"w{w}")) == list(range(4, size))


def test_random_pairs_have_the_stated_lengths_and_no_special_pieces(make_options) -> None:
    measure = make_options().measure
    corpus = random_pairs(words(20), 50, measure, seed=1)
    assert len(corpus) == 50
    assert set(corpus.source_lengths.tolist()) == {measure.source_length}
    assert set(corpus.target_lengths.tolist()) == {measure.target_length}
    assert (int(corpus.source.min()), int(corpus.source.max())) == (4, 19)


def test_varied_pairs_lie_around_the_stated_lengths(make_options) -> None:
    measure = make_options({"source_length": 6, "target_length": 3}).measure
    corpus = random_pairs(words(20), 2000, measure, seed=1, varied=True)
    assert set(corpus.source_lengths.tolist()) == set(range(1, 12))
    assert set(corpus.target_lengths.tolist()) == set(range(1, 6))
    assert corpus.source_lengths.double().mean() == pytest.approx(6, abs=0.3)
    assert len(corpus.source) == int(corpus.source_offsets[-1])


def test_lines_are_text_that_reads_back_as_words(make_bench) -> None:
    bench = make_bench()
    encoded = [bench.material.tokenizers.source.encode(line) for line in bench.material.lines.source]
    assert [len(ids) for ids in encoded] == [bench.measure.source_length] * bench.measure.sentences


@pytest.mark.parametrize("beam", [1, 3])
def test_an_untrained_model_writes_just_as_much_as_the_targets_have(make_bench, beam: int) -> None:
    bench = make_bench()
    translator = bench.material.translator(bench.config, "fp32", {"beam_size": beam})
    found = translator.translate(bench.material.lines.source)
    lengths = {len(translation.hypotheses[0].tokens) for translation in found}
    assert lengths == {bench.measure.target_length}


def test_the_search_is_the_configs(make_bench) -> None:
    search = {"length_penalty": "gnmt", "length_alpha": 0.5, "coverage_penalty": 0.2, "block_ngram": 2}
    bench = make_bench(search={**search, "repetition_penalty": 1.5, "beam_size": 4})
    found = bench.material.translator(bench.config, "fp32", {"beam_size": 2}).search
    assert {name: getattr(found, name) for name in search} == search
    assert (found.repetition_penalty, found.beam_size) == (1.5, 2)


def test_fresh_models_are_the_same_each_time(make_bench) -> None:
    bench = make_bench()
    one, other = (bench.material.fresh(bench.config).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_translation_is_timed_and_kept(make_bench) -> None:
    bench = make_bench()
    lines = bench.material.lines.source
    translator = bench.material.translator(bench.config, "fp32", {"beam_size": 2})
    work = Translating(translator, lines, 3)
    sample = work.sample()
    assert work.texts == [translation.text for translation in translator.translate(lines)]
    assert sample["sentences_per_second"] * sample["milliseconds"] == pytest.approx(1000)


def test_real_text_is_read_where_it_is_named(make_bench, tmp_path) -> None:
    for name, pairs in (("train", 30), ("valid", 6), ("test", 4)):
        for side, word in (("de", "ein Hund"), ("en", "a dog")):
            (tmp_path / f"{name}.{side}").write_text("".join(f"{word} {name} {i}\n" for i in range(pairs)))
    data = {"train": f"{tmp_path}/train", "valid": f"{tmp_path}/valid", "cache": f"{tmp_path}/cache"}
    tokenizer = {"name": "word", "vocab_size": "auto"}
    valid = make_bench(data=data, tokenizer=tokenizer).material
    assert len(valid.corpus) == 30
    assert valid.lines.source[:2] == ["ein Hund valid 0", "ein Hund valid 1"]
    tested = make_bench(data={**data, "test": f"{tmp_path}/test"}, tokenizer=tokenizer).material
    assert tested.lines == (
        [f"ein Hund test {i}" for i in range(4)],
        [f"a dog test {i}" for i in range(4)],
    )
