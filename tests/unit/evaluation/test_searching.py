"""The shortlist of a translator: from the run's lexicon, and each line by its own words alone."""

import pytest
import torch

from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.lexicon import Lexicon
from seq2seq.data.text import ParallelText
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.evaluation.searching import needed_lexicon, override
from seq2seq.evaluation.translator import Translator
from seq2seq.runs import RunFolder

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind", "das alte Haus", "der Nachbar hört den Hund"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child", "the old house", "our neighbour hears the dog"]


def sizes(tokenizers):
    return tokenizers.source.vocab_size, tokenizers.target.vocab_size, tokenizers.source.eos_id


@pytest.fixture(scope="module", params=["luong_general", "none"])
def translator(request, make_translator):
    return make_translator(SOURCES, TARGETS, "bpe", "gru", request.param)


@pytest.fixture(scope="module")
def lexicon(translator):
    corpus = EncodedCorpus.encode(ParallelText("pairs", SOURCES, TARGETS, ()), translator.tokenizers)
    return Lexicon.learn(corpus, *sizes(translator.tokenizers), shared=False)


def having(translator, lexicon, **search):
    changed = override(translator.search, search)
    return Translator(translator.model, translator.tokenizers, translator.limit, changed, translator.runtime, lexicon)


@pytest.mark.parametrize(
    "search",
    [{"beam_size": 1}, {"n_best": 3, "repetition_penalty": 1.2, "block_ngram": 2}, {"sample": True, "n_best": 2}],
    ids=str,
)
def test_a_line_is_translated_by_its_own_words_in_any_company(translator, lexicon, search):
    short = having(translator, lexicon, shortlist=9, **search)
    lines = [*SOURCES, "das Haus das Haus das Haus", "Zwölf 🥊"]
    prefixes = ["", "", "a cat", "", "", "", "zzz"]
    alone = [
        short.translate([line], prefixes=[prefix], attention=True)[0]
        for line, prefix in zip(lines, prefixes, strict=True)
    ]
    for batch_size in (2, 64):
        together = short.translate(lines, prefixes=prefixes, batch_size=batch_size, attention=True)
        for one, other in zip(alone, together, strict=True):
            for mine, its in zip(one.hypotheses, other.hypotheses, strict=True):
                assert (mine.text, mine.tokens) == (its.text, its.tokens)
                assert mine.score == pytest.approx(its.score, abs=1e-4)
    target = translator.tokenizers.target
    for line, prefix, translation in zip(lines, prefixes, alone, strict=True):
        source = torch.tensor([[*translator.tokenizers.source.encode(line), translator.tokenizers.source.eos_id]])
        own = {*lexicon.allowed(source)[0].nonzero().flatten().tolist(), *target.encode(prefix)}
        own |= {*lexicon.frequent[:9].tolist()}
        pieces = {*target.pieces(sorted(own))}
        for hypothesis in translation.hypotheses:
            assert hypothesis.text.startswith(prefix)
            assert {*hypothesis.tokens} <= pieces
    assert alone[0].text != having(translator, None, **search).translate(lines[:1])[0].text


def test_without_a_lexicon_there_is_no_shortlist(translator, tmp_path):
    options = override(translator.search, {"shortlist": 20})
    with pytest.raises(ConfigError) as caught:
        needed_lexicon(options, RunFolder(tmp_path), translator.tokenizers)
    assert str(caught.value) == (
        f"search.shortlist=20 needs {tmp_path}/lexicon.safetensors, which train.py writes at its end; get it by "
        f"seq2seq-train run={tmp_path} resume=auto, or set search.shortlist=0"
    )
    assert needed_lexicon(translator.search, RunFolder(tmp_path), translator.tokenizers) is None


def test_the_lexicon_is_that_of_the_run(translator, lexicon, tmp_path):
    options, tokenizers = override(translator.search, {"shortlist": 20}), translator.tokenizers
    folder = RunFolder(tmp_path)
    lexicon.save(folder.lexicon, tokenizers.digests)
    read = needed_lexicon(options, folder, tokenizers)
    assert torch.equal(read.candidates, lexicon.candidates)
    lexicon.save(folder.lexicon, {**tokenizers.digests, "source": "0" * 64})
    with pytest.raises(CheckpointError, match="is of other tokenizers than the run's"):
        needed_lexicon(options, folder, tokenizers)
