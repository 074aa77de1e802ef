"""Alignments by a model: each link looked up again in the attention that the translator itself gives."""

import pytest

from seq2seq.alignment.aligner import Aligner, Symmetrized
from seq2seq.alignment.extraction import Extraction
from seq2seq.alignment.links import parse
from seq2seq.alignment.symmetrization import union
from seq2seq.errors import DataError

SOURCES = ["ein alter Hund schläft hier", "", "der Hund bellt laut", " \t", "ein  Hund", "zwei alte Hunde 😀"]
TARGETS = ["an old dog sleeps here", "a dog", "the dog barks loudly", "", "a dog", "two old  dogs"]
LINES = ["ein alter Hund schläft hier unten", "der laute Hund bellt", "zwei alte Hunde"] * 3
ENGLISH = ["an old dog sleeps down here", "the loud dog barks", "two old dogs"] * 3


@pytest.fixture(scope="module", params=["bpe", "char", "word"])
def translator(make_translator, request):
    return make_translator(LINES, ENGLISH, request.param, "gru", "bahdanau")


@pytest.fixture(scope="module")
def backward(make_translator):
    return make_translator(ENGLISH, LINES, "bpe", "lstm", "luong_general")


def owners(pieces, line):
    """The word of each piece: all words but unknown ones begin with "▁", or several."""
    words, word = [], -1
    for i, piece in enumerate(pieces[:-1]):
        starts = piece.startswith("▁") and pieces[i - 1].strip("▁")
        fresh = i == 0 or starts or piece == "<unk>"
        word += bool(fresh)
        words.append(word)
    assert word + 1 == len(line.split())
    return words


def looked_up(attention, target, source):
    """For each target word, the source word that its pieces attend to most, by loops over pieces."""
    links = set()
    for word in set(target):
        rows = [i for i, owner in enumerate(target) if owner == word]
        sums = {}
        for i in rows:
            for j, owner in enumerate(source):
                sums[owner] = sums.get(owner, 0.0) + float(attention[i, j]) / len(rows)
        links.add((max(sums, key=sums.get), word))
    return links


def test_given_translations_are_aligned_by_their_own_attention(translator):
    aligned = Aligner(translator, Extraction(), batch_size=2).forced(SOURCES, TARGETS)
    scored = translator.score(SOURCES, TARGETS, attention=True)
    for number in (0, 2):
        pair = scored[number]
        target, source = owners(pair.tokens, TARGETS[number]), owners(pair.source_tokens, SOURCES[number])
        assert aligned[number] == looked_up(pair.attention, target, source)
    assert [len(links) for links in aligned] == [5, 0, 4, 0, 2, 3]  # blank lines have no words


def test_translations_of_its_own_are_aligned_by_the_searchs_attention(translator):
    texts, aligned = Aligner(translator, Extraction()).translated(SOURCES)
    found = translator.translate(SOURCES, attention=True)
    assert texts == [translation.text for translation in found]
    first = found[0]
    target = owners([*first.tokens, "</s>"], first.text)
    assert aligned[0] == looked_up(first.attention, target, owners(first.source_tokens, SOURCES[0]))
    assert (texts[1], aligned[1]) == ("", frozenset())


def test_the_pairs_beside_it_change_no_alignment(translator):
    aligner = Aligner(translator, Extraction(method="threshold", threshold=0.3), batch_size=4)
    alone = [aligner.forced([source], [target])[0] for source, target in zip(SOURCES, TARGETS, strict=True)]
    assert aligner.forced(SOURCES, TARGETS) == alone


def test_two_directions_are_put_together_word_by_word(translator, backward):
    forward, reverse = Aligner(translator, Extraction()), Aligner(backward, Extraction())
    both = Symmetrized(forward, reverse, union)
    first, second = forward.forced(SOURCES, TARGETS), reverse.forced(TARGETS, SOURCES)
    expected = [a | {(source, target) for target, source in b} for a, b in zip(first, second, strict=True)]
    assert both.forced(SOURCES, TARGETS) == expected
    assert {source for source, _ in expected[0]} == set(range(5))  # each word of either side has a link now
    assert {target for _, target in expected[0]} == set(range(5))


def test_the_models_own_translation_is_written_back_by_the_other_direction(translator, backward):
    forward, reverse = Aligner(translator, Extraction()), Aligner(backward, Extraction())
    texts, links = Symmetrized(forward, reverse, union).translated(SOURCES[:1])
    again = reverse.forced(texts, SOURCES[:1])[0]
    assert links[0] == forward.translated(SOURCES[:1])[1][0] | {(source, target) for target, source in again}


def test_a_line_whose_words_cannot_be_told_is_left_without_links(make_translator, caplog):
    """Cut to a piece, the source has fewer words than its line: a number would be another word's."""
    translator = make_translator(LINES, ENGLISH, "bpe", "gru", "bahdanau")
    translator.search = type(translator.search)(max_source_length=3)
    _, links = Aligner(translator, Extraction()).translated(["ein alter Hund schläft hier"], first_line=7)
    assert links == [parse("")]
    assert "line 7: its pieces don't make the line's words; it is left without links" in caplog.text


def test_a_pair_that_the_model_cannot_take_is_named_by_its_number(make_translator, monkeypatch):
    translator = make_translator(LINES, ENGLISH, "bpe", "gru", "bahdanau")
    monkeypatch.setattr(translator.model, "longest_target", 2)
    with pytest.raises(DataError, match=r"^pair 41: "):
        Aligner(translator, Extraction()).forced(SOURCES, TARGETS, first_line=41)
