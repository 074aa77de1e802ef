"""One search ranked by many penalties, against a search for each."""

import dataclasses
from itertools import product

import pytest
import torch

from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.lexicon import Lexicon
from seq2seq.data.text import ParallelText
from seq2seq.evaluation.candidates import Candidates, Penalties
from seq2seq.evaluation.translator import Translator
from seq2seq.evaluation.tuning import Setting, _translated
from seq2seq.search.decode import decode

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind", "das alte Haus", "der Nachbar hört den Hund"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child", "the old house", "our neighbour hears the dog"]
LINES = [
    *SOURCES,
    "",
    "der Hund hört das alte Haus und die Katze",
    "Zwölf",
    "uns",
    "das Haus",
    "die Katze sieht ein Kind",
]
GRID = [
    Penalties("none", 1.0, 0.0),
    Penalties("none", 1.0, 0.7),
    *(Penalties(*values) for values in product(["average", "gnmt"], [0.3, 1.7], [0.0, 0.1])),
]


@pytest.fixture(scope="module")
def singles(make_translator):
    return [
        make_translator(SOURCES, TARGETS, "bpe", *kind) for kind in (("gru", "bahdanau"), ("lstm", "luong_general"))
    ]


@pytest.fixture(scope="module")
def translators(singles):
    """One model, and an ensemble with a shortlist."""
    one, other = singles
    pair = one.tokenizers
    corpus = EncodedCorpus.encode(ParallelText("pairs", SOURCES, TARGETS, ()), pair)
    sizes = pair.source.vocab_size, pair.target.vocab_size, pair.source.eos_id
    lexicon = Lexicon.learn(corpus, *sizes, shared=False)
    arguments = (pair, one.limit, dataclasses.replace(one.search, shortlist=60), one.runtime, lexicon, [other.model])
    return {"one": one, "ensemble": Translator(one.model, *arguments)}


def read(translator, lines):
    return [translator.read(number, line) for number, line in enumerate(lines, start=1)]


@pytest.mark.parametrize(
    ("kind", "beam_size", "search"),
    [
        ("one", 1, {}),
        ("one", 6, {}),
        ("one", 6, {"repetition_penalty": 1.4, "block_ngram": 2}),
        ("one", 6, {"min_length": 4}),
        ("one", 6, {"beam_threshold": 4.0}),
        ("ensemble", 1, {"min_length": 4}),
        ("ensemble", 6, {}),
        ("ensemble", 6, {"repetition_penalty": 1.4, "block_ngram": 2, "beam_threshold": 4.0}),
    ],
    ids=str,
)
def test_one_search_gives_what_a_search_for_each_penalty_gives(translators, kind, search, beam_size):
    translator = translators[kind].with_search(search)
    candidates = Candidates.search(translator, read(translator, LINES), beam_size, 4, coverage=True)
    found = set()
    for penalties in GRID:
        searched = translator.with_search({"beam_size": beam_size, **penalties._asdict()})
        expected = [translation.text for translation in searched.translate(LINES)]
        assert candidates.best(penalties) == expected, penalties
        found.add(tuple(expected))
    assert len(found) == 1 if beam_size == 1 else len(found) > 1  # the penalties do choose


def test_it_is_one_search(translators, monkeypatch):
    calls = []
    monkeypatch.setattr("seq2seq.search.beam.decode", lambda *rest: calls.append(1) or decode(*rest))
    one = translators["one"]
    candidates = Candidates.search(one, read(one, LINES), 3, len(LINES), coverage=True)
    for penalties in GRID:
        candidates.best(penalties)
    assert len(calls) == 1


def test_a_line_that_is_cut_is_said_once_for_all_beam_sizes(translators, caplog):
    short = translators["one"].with_search({"max_source_length": 3})
    settings = [Setting(beam_size, "none", 1.0, 0.0) for beam_size in (1, 2, 3)]
    texts = _translated(short, settings, LINES[:2], 64)
    assert list(texts) == settings
    assert [record.args[0] for record in caplog.records if "cut from" in record.getMessage()] == [1, 2]


def worked(*candidates):
    """One line with these (text, total, length, coverage)."""
    texts, *numbers = zip(*candidates, strict=True)
    return Candidates([list(texts)], *(torch.tensor([column]) for column in numbers))


def test_penalties_by_hand():
    # totals, and divided by lengths: -1, -0.75; by their square roots: -1.41, -1.5; by (5 + l) / 6: -1.71, -2
    line = worked(("short", -2.0, 2, 0.0), ("long one", -3.0, 4, -1.0))
    assert line.best(Penalties("none", 1.0, 0.0)) == ["short"]
    assert line.best(Penalties("average", 1.0, 0.0)) == ["long one"]
    assert line.best(Penalties("average", 0.5, 0.0)) == ["short"]
    assert line.best(Penalties("gnmt", 1.0, 0.0)) == ["short"]
    assert line.best(Penalties("average", 1.0, 0.24)) == ["long one"]  # -0.99 against -1
    assert line.best(Penalties("average", 1.0, 0.26)) == ["short"]


def test_of_equal_scores_the_first_to_end_is_taken():
    line = worked(("first", -1.0, 1, 0.0), ("second", -2.0, 2, 0.0), ("third", -2.0, 2, 0.0))
    assert line.best(Penalties("average", 1.0, 0.0)) == ["first"]
    assert line.best(Penalties("average", 2.0, 0.0)) == ["second"]


def test_a_blank_line_stays_blank(translators):
    one = translators["one"]
    candidates = Candidates.search(one, read(one, ["", " ", LINES[0]]), 2, 64, coverage=False)
    assert candidates.best(GRID[0])[:2] == ["", ""]
    assert candidates.best(GRID[0])[2] != ""
