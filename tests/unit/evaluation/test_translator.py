import logging
import math
import random
from itertools import product

import pytest
import torch

from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.searching import override
from seq2seq.evaluation.translator import Translator
from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.protocol import SpecialIds

SUBJECTS = [
    ("der Hund", "the dog"),
    ("die Katze", "the cat"),
    ("ein Kind", "a child"),
    ("unser Nachbar", "our neighbour"),
]
VERBS = [("sieht", "sees"), ("hört", "hears"), ("findet", "finds")]
OBJECTS = [
    ("das Haus", "the house"),
    ("einen alten Baum", "an old tree"),
    ("uns", "us"),
    ("den Weg nach Hause", "the way home"),
]
PAIRS = [tuple(" ".join(side) for side in zip(*parts, strict=True)) for parts in product(SUBJECTS, VERBS, OBJECTS)]
SOURCES, TARGETS = zip(*PAIRS, strict=True)

# Of many lengths, some twice, some with words and characters never seen.
LINES = [
    *SOURCES[:6],
    "uns",
    "der Hund hört uns",
    SOURCES[3],
    "Zwölf Boxkämpfer jagen Viktor 🥊",
    " ".join(SOURCES[20:23]),
]

PARTS = {
    "bpe, lstm, luong_general": ("bpe", "lstm", "luong_general"),
    "word, gru, bahdanau": ("word", "gru", "bahdanau"),
    "bpe, gru, none": ("bpe", "gru", "none"),
}


@pytest.fixture(scope="module")
def translators(make_translator):
    return {name: make_translator(SOURCES, TARGETS, *parts) for name, parts in PARTS.items()}


@pytest.fixture(params=PARTS)
def translator(request, translators):
    return translators[request.param]


@pytest.fixture
def words(translators):
    """The translator whose text gives back its tokens, whatever they are."""
    return translators["word, gru, bahdanau"]


def having(translator, **search):
    """The same translator with other search options."""
    changed = override(translator.search, search)
    return Translator(translator.model, translator.tokenizers, translator.limit, changed, translator.runtime)


def assert_same(translation, expected):
    assert (translation.source, translation.source_tokens) == (expected.source, expected.source_tokens)
    assert [h.text for h in translation.hypotheses] == [h.text for h in expected.hypotheses]
    for one, other in zip(translation.hypotheses, expected.hypotheses, strict=True):
        assert one.tokens == other.tokens
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert (one.attention is None) == (other.attention is None)
        if one.attention is not None:
            torch.testing.assert_close(one.attention, other.attention, atol=1e-4, rtol=0)


SEARCHES = [
    {},
    {"beam_size": 1},
    {"beam_size": 6, "n_best": 4, "length_penalty": "gnmt"},
    {"sample": True, "n_best": 3, "temperature": 0.8},
    {"sample": True, "top_k": 5, "top_p": 0.9},
    {"block_ngram": 2, "repetition_penalty": 1.3},
    {"sample": True, "block_ngram": 1, "repetition_penalty": 2.0},
]


@pytest.mark.parametrize(
    ("parts", "search"), [*product(list(PARTS)[:1], SEARCHES), *product(list(PARTS)[1:], SEARCHES[2:4])], ids=str
)
def test_a_line_is_translated_alike_in_any_company(translators, parts, search):
    translator = having(translators[parts], **search)
    alone = [translator.translate([line], attention=True)[0] for line in LINES]
    found = [hypothesis for translation in alone for hypothesis in translation.hypotheses]
    assert len({hypothesis.text for hypothesis in found}) > len(LINES) / 2
    assert len({len(hypothesis.tokens) for hypothesis in found}) > 2
    shuffled = random.Random(0).sample(range(len(LINES)), len(LINES))
    for order, batch_size in [(shuffled, 64), (shuffled[::-1], 3)]:
        torch.manual_seed(batch_size)  # a sample's random numbers are the line's own
        together = translator.translate([LINES[i] for i in order], batch_size=batch_size, attention=True)
        for i, translation in zip(order, together, strict=True):
            assert_same(translation, alone[i])


def test_blank_lines_give_empty_text_and_stay_in_place(translator):
    lines = ["", LINES[0], "   ", "", LINES[1], "\t"]
    translations = translator.translate(lines, attention=True)
    assert [translation.source for translation in translations] == lines
    for line, translation in zip(lines, translations, strict=True):
        if not line.strip():
            assert (translation.text, translation.tokens, translation.score) == ("", [], 0.0)
            assert len(translation.hypotheses) == 1
        else:
            assert_same(translation, translator.translate([line], attention=True)[0])
    assert [translation.text for translation in translator.translate(["", " "])] == ["", ""]
    assert translator.translate([]) == []


def test_n_best_is_sorted_unique_and_begins_with_the_best(translator):
    best = having(translator, beam_size=8).translate(LINES)
    many = having(translator, beam_size=8, n_best=5).translate(LINES)
    for translation, first in zip(many, best, strict=True):
        scores = [hypothesis.score for hypothesis in translation.hypotheses]
        texts = [hypothesis.text for hypothesis in translation.hypotheses]
        assert 1 < len(texts) <= 5
        assert scores == sorted(scores, reverse=True)
        assert len(set(texts)) == len(texts)
        assert (translation.text, translation.score) == (first.text, pytest.approx(first.score, abs=1e-5))
        for hypothesis in translation.hypotheses:  # the default normalisation: by length with EOS
            assert hypothesis.score == pytest.approx(hypothesis.log_prob / (len(hypothesis.tokens) + 1), abs=1e-5)
            assert hypothesis.attention is None


def test_n_best_are_the_best_of_all_that_the_beam_can_find(translator):
    """Also those beyond the first, found after the search of one translation alone would have stopped."""
    tokenizers, target = translator.tokenizers, translator.tokenizers.target
    special = SpecialIds(target.bos_id, target.eos_id, (target.pad_id, target.bos_id, target.unk_id))
    options = SearchOptions(beam_size=6, n_best=6)
    for line, translation in zip(LINES, having(translator, beam_size=6, n_best=4).translate(LINES), strict=True):
        ids = [*tokenizers.source.encode(line), tokenizers.source.eos_id]
        source, length = torch.tensor([ids]), torch.tensor([len(ids)])
        limit = torch.tensor([math.ceil(1.5 * (len(ids) - 1) + 5) + 1])
        (found,) = beam_search(translator.model, source, length, limit, options, special)
        expected = {}
        for hypothesis in found:
            expected.setdefault(target.decode(hypothesis.tokens), hypothesis.score)
        assert [hypothesis.text for hypothesis in translation.hypotheses] == list(expected)[:4]
        scores = [hypothesis.score for hypothesis in translation.hypotheses]
        assert scores == pytest.approx(list(expected.values())[:4], abs=1e-4)


@pytest.mark.parametrize("search", [{"beam_size": 8, "n_best": 8}, {"sample": True, "n_best": 8}], ids=str)
def test_of_hypotheses_with_one_text_the_best_is_kept(words, search, monkeypatch):
    translator, decode = having(words, **search), words.tokenizers.target.decode
    everything = translator.translate(LINES)
    monkeypatch.setattr(words.tokenizers.target, "decode", lambda ids: decode(ids)[:3])
    merged = 0
    for whole, translation in zip(everything, translator.translate(LINES), strict=True):
        best = {}
        for hypothesis in sorted(whole.hypotheses, key=lambda hypothesis: -hypothesis.score):
            best.setdefault(hypothesis.text[:3], hypothesis.score)
        found = [(hypothesis.text, hypothesis.score) for hypothesis in translation.hypotheses]
        assert found == sorted(best.items(), key=lambda item: -item[1])
        merged += len(whole.hypotheses) - len(found)
    assert merged > 5


def test_the_log_probability_is_that_of_forced_scoring(translator):
    translations = having(translator, beam_size=4, n_best=4).translate(LINES, attention=True)
    every = [(t.source, h) for t in translations for h in t.hypotheses]
    tokenizer = translator.tokenizers.target
    # Where the text is cut into pieces as the model had spelled it.
    same = [(source, h) for source, h in every if tokenizer.pieces(tokenizer.encode(h.text)) == h.tokens]
    assert len(same) >= (len(every) if translator.tokenizers.target.vocab_size < 100 else 3)
    scored = translator.score([source for source, _ in same], [h.text for _, h in same], attention=True, batch_size=5)
    for (_, hypothesis), pair in zip(same, scored, strict=True):
        assert pair.log_prob == pytest.approx(hypothesis.log_prob, abs=1e-4)
        assert pair.log_prob == pytest.approx(sum(pair.token_log_probs), abs=1e-5)
        assert pair.tokens == [*hypothesis.tokens, "</s>"]
        assert len(pair.token_log_probs) == len(pair.tokens)
        assert (pair.attention is None) == (hypothesis.attention is None)
        if pair.attention is not None:
            torch.testing.assert_close(pair.attention, hypothesis.attention, atol=1e-4, rtol=0)


def test_a_repetition_penalty_is_in_the_score_and_not_in_the_log_probability(words):
    translator = having(words, beam_size=4, n_best=4, repetition_penalty=1.5, length_penalty="none")
    every = [(t.source, h) for t in translator.translate(LINES) for h in t.hypotheses]
    scored = translator.score([source for source, _ in every], [h.text for _, h in every])
    repeated = 0
    for (_, hypothesis), pair in zip(every, scored, strict=True):
        assert hypothesis.log_prob == pytest.approx(pair.log_prob, abs=1e-4)
        again = [token in pair.tokens[:t] for t, token in enumerate(pair.tokens)]
        penalised = sum(value * (1.5 if said else 1) for value, said in zip(pair.token_log_probs, again, strict=True))
        assert hypothesis.score == pytest.approx(penalised, abs=1e-4)
        repeated += any(again)
    assert repeated > 5


def test_a_pair_is_scored_alike_in_any_company(translator):
    pairs = [*PAIRS[::6], ("", "us"), ("uns", ""), *PAIRS[:2]]
    alone = [translator.score([source], [target], attention=True)[0] for source, target in pairs]
    order = random.Random(1).sample(range(len(pairs)), len(pairs))
    together = translator.score(*zip(*(pairs[i] for i in order), strict=True), batch_size=4, attention=True)
    for i, pair in zip(order, together, strict=True):
        assert (pair.tokens, pair.source_tokens) == (alone[i].tokens, alone[i].source_tokens)
        assert pair.token_log_probs == pytest.approx(alone[i].token_log_probs, abs=1e-4)
        if pair.attention is not None:
            torch.testing.assert_close(pair.attention, alone[i].attention, atol=1e-4, rtol=0)
    assert translator.score([], []) == []
    with pytest.raises(DataError, match=r"2 sources can't be paired with 1 targets"):
        translator.score(["a", "b"], ["c"])


def test_attention_is_on_request_a_row_for_each_token_and_for_eos(translator):
    tokenizer = translator.tokenizers.source
    for line, translation in zip(LINES, translator.translate(LINES, attention=True), strict=True):
        assert translation.source_tokens == [*tokenizer.pieces(tokenizer.encode(line)), "</s>"]
        if not translator.model.attends:
            assert translation.attention is None
            continue
        assert translation.attention.shape == (len(translation.tokens) + 1, len(translation.source_tokens))
        torch.testing.assert_close(translation.attention.sum(dim=1), torch.ones(len(translation.tokens) + 1))
        assert (translation.attention >= 0).all()
    assert all(translation.attention is None for translation in translator.translate(LINES))


def test_a_prefix_begins_the_output(translator):
    prefixes = [
        "",
        *(" ".join(target.split()[: 1 + i % 3]) for i, target in enumerate(TARGETS[: len(LINES) - 2])),
        "the d",
    ]
    free = translator.translate(LINES)
    for search in ({}, {"beam_size": 1}, {"sample": True, "n_best": 3}):
        forced = having(translator, **search).translate(LINES, prefixes=prefixes, batch_size=4)
        for prefix, translation in zip(prefixes, forced, strict=True):
            pieces = translator.tokenizers.target.pieces(translator.tokenizers.target.encode(prefix))
            for hypothesis in translation.hypotheses:
                assert hypothesis.tokens[: len(pieces)] == pieces
                if "<unk>" not in pieces:
                    assert hypothesis.text.startswith(prefix)
        if not search:
            assert_same(forced[0], free[0])
            assert sum(one.text == other.text for one, other in zip(free, forced, strict=True)) < len(LINES) / 2
    with pytest.raises(DataError, match=r"^there are 11 lines but prefixes has 1 entries$"):
        translator.translate(LINES, prefixes=["the"])


def test_a_prefix_beyond_the_length_limit_is_still_followed(words):
    prefix = " ".join(TARGETS[:8])
    assert len(prefix.split()) > 1.5 + 5 + 1
    assert words.translate(["uns"], prefixes=[prefix])[0].text.startswith(prefix)


def test_a_line_that_is_too_long_is_cut_with_one_warning_that_names_it(words, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    limited = having(words, max_source_length=4)
    lines = ["der Hund sieht uns", "", "ein Kind findet den Weg nach Hause"]
    with caplog.at_level(logging.WARNING, logger="seq2seq"):
        translations = limited.translate(lines, attention=True, first_line=11)
    assert [record.getMessage() for record in caplog.records] == [
        "line 13: cut from 7 to 4 tokens (search.max_source_length)"
    ]
    short = words.translate(["ein Kind findet den"], attention=True)[0]
    assert translations[2].source == lines[2]
    assert (translations[2].text, translations[2].score) == (short.text, pytest.approx(short.score, abs=1e-4))
    assert translations[2].source_tokens == short.source_tokens
    assert translations[2].attention.shape == short.attention.shape
    assert_same(translations[0], words.translate(lines[:1], attention=True)[0])


@pytest.mark.parametrize(("line", "longest"), [("uns", 7 + 1), ("der Hund hört uns", 11 + 1), (" ".join(SOURCES), 10)])
def test_no_output_is_longer_than_its_own_source_allows(words, line, longest):
    """1.5 S + 5 rounded up, and EOS; here EOS is never chosen freely. search.max_length is an absolute cap."""
    translator = having(words, beam_size=2, max_length=longest if longest == 10 else 1000)
    eos = words.tokenizers.target.eos_id
    bias = words.model.output.bias
    with torch.no_grad():
        bias[eos] -= 50
        try:
            translations = translator.translate([line, " ".join(SOURCES[:4])])
        finally:
            bias[eos] += 50
    assert len(translations[0].tokens) + 1 == longest


def test_samples_depend_on_the_seed_and_on_nothing_else(translator):
    def texts(seed):
        sampling = having(translator, sample=True, n_best=4, seed=seed)
        return [[h.text for h in translation.hypotheses] for translation in sampling.translate(LINES)]

    first = texts(1)
    torch.manual_seed(99)
    assert texts(1) == first
    assert texts(2) != first
    for translation in having(translator, sample=True, n_best=4).translate(LINES):
        scores = [hypothesis.score for hypothesis in translation.hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.text for hypothesis in translation.hypotheses}) == len(scores)


def test_lines_draw_numbers_of_their_own(words):
    """Where all lines have the same distribution, the samples of equal lines are equal, and of others are not."""
    output = words.model.output
    weights, bias = output.weight.detach().clone(), output.bias.detach().clone()
    with torch.no_grad():
        output.weight.zero_()
        output.bias[words.tokenizers.target.eos_id] = -50
        try:
            texts = [translation.text for translation in having(words, sample=True, max_length=7).translate(LINES)]
        finally:
            output.weight.copy_(weights)
            output.bias.copy_(bias)
    assert len(set(texts)) == len(set(LINES))
    assert dict(zip(LINES, texts, strict=True)) == dict(zip(LINES[::-1], texts[::-1], strict=True))


@pytest.mark.parametrize("byte", ["<0x0A>", "<0x0D>"])
def test_newlines_in_an_output_become_spaces(translators, byte):
    translator = translators["bpe, lstm, luong_general"]
    tokenizer, bias = translator.tokenizers.target, translator.model.output.bias
    place = tokenizer.pieces(range(tokenizer.vocab_size)).index(byte)
    before = bias[place].item()
    with torch.no_grad():
        bias[place] = 8
        try:
            translations = translator.translate(LINES[:4])
        finally:
            bias[place] = before
    assert all(byte in translation.tokens for translation in translations)
    for translation in translations:
        assert not {"\n", "\r"} & set(translation.text)
        assert " " in translation.text


def test_search_options_go_through_the_strict_constructor(words):
    assert override(words.search, {"beam_size": 3}).beam_size == 3
    for changes, message in (
        ({"beam_sise": 3}, "unknown option search.beam_sise: did you mean search.beam_size?"),
        ({"n_best": 9}, "search.n_best=9 is more than search.beam_size=5 can find; set search.beam_size=9"),
        ({"beam_size": "x"}, "search.beam_size=x is not allowed: it must be a whole number"),
        ({"sample": True, "top_p": 0}, "search.top_p=0 is not allowed: it must be from 0.001 to 1.0"),
    ):
        with pytest.raises(ConfigError) as raised:
            override(words.search, changes)
        assert str(raised.value) == message


def test_the_smallest_top_p_draws_the_likeliest(words):
    smallest = having(words, sample=True, top_p=0.001).translate(LINES)
    greedy = having(words, beam_size=1).translate(LINES)
    assert [translation.text for translation in smallest] == [translation.text for translation in greedy]


def test_a_coverage_penalty_is_added_to_the_score(translator):
    """Wu et al. (2016), equation 14, from the attention that is given back."""
    if not translator.model.attends:
        with pytest.raises(ConfigError) as raised:
            having(translator, coverage_penalty=0.4)
        assert str(raised.value) == (
            "search.coverage_penalty=0.4 needs attention weights, but this model has no attention; set "
            "search.coverage_penalty=0"
        )
        return
    for translation in having(translator, coverage_penalty=0.4, n_best=3).translate(LINES, attention=True):
        for hypothesis in translation.hypotheses:
            unread = hypothesis.attention.double().sum(dim=0).clamp(max=1).log().sum().item()
            expected = hypothesis.log_prob / (len(hypothesis.tokens) + 1) + 0.4 * unread
            assert hypothesis.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("search", [{}, {"sample": True}], ids=str)
def test_no_ngram_occurs_twice(words, search):
    """Nor does a translation end too early: it may go on with any other word."""
    translator, bias = having(words, block_ngram=2, max_length=30, **search), words.model.output.bias
    eos = words.tokenizers.target.eos_id
    with torch.no_grad():
        bias[eos] -= 50
        try:
            found = [translator.translate(LINES)[:6] for translator in (translator, having(words, **search))]
        finally:
            bias[eos] += 50
    repeats = [
        sum(len(pairs) - len(set(pairs)) for pairs in (list(zip(t.tokens, t.tokens[1:], strict=False)) for t in some))
        for some in found
    ]
    assert repeats[0] == 0 < repeats[1]
    assert [len(translation.tokens) for translation in found[0]] == [len(t.tokens) for t in found[1]]


# --- models with a longest source and a longest target


def test_a_line_that_the_model_cannot_read_whole_is_cut(words, monkeypatch, caplog):
    """One long line is no reason to lose those after it."""
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    monkeypatch.setattr(words.model, "longest_source", 5)
    long = "ein Kind findet den Weg"
    translations = words.translate(["uns", "der Hund sieht uns", long, " " * 40], first_line=7)
    assert [len(translation.source_tokens) for translation in translations] == [2, 5, 5, 1]
    assert translations[2].source_tokens == [*(f"\u2581{word}" for word in long.split()[:4]), "</s>"]
    assert [record.getMessage() for record in caplog.records] == [
        "line 9: cut from 5 to 4 tokens (all that this model takes, with the end of sentence)"
    ]
    caplog.clear()
    having(words, max_source_length=3).translate([long])
    assert [record.getMessage() for record in caplog.records] == [
        "line 1: cut from 5 to 3 tokens (search.max_source_length)"
    ]


def test_no_output_is_longer_than_the_model_can_write(words, monkeypatch):
    monkeypatch.setattr(words.model, "longest_target", 6)
    eos, bias = words.tokenizers.target.eos_id, words.model.output.bias
    with torch.no_grad():
        bias[eos] -= 50
        try:
            translations = words.translate(LINES, prefixes=["", "the dog sees us the", *[""] * 9])
        finally:
            bias[eos] += 50
    assert {len(translation.tokens) + 1 for translation in translations} == {6}
    with pytest.raises(DataError) as raised:
        words.translate(["uns", "uns"], prefixes=["", "the dog sees us the dog"], first_line=4)
    assert str(raised.value) == (
        "line 5: 7 prefix pieces with the end of sentence, but this model takes at most 6 (by its "
        "decoder.max_length): shorten the prefix"
    )


@pytest.mark.parametrize(
    ("side", "pieces", "options"),
    [("source", 5, "attention.max_source_length or encoder.max_length"), ("target", 4, "decoder.max_length")],
)
def test_a_pair_that_the_model_cannot_take_is_refused(words, monkeypatch, side, pieces, options):
    monkeypatch.setattr(words.model, f"longest_{side}", pieces - 1)
    with pytest.raises(DataError) as raised:
        words.score(["uns", "der Hund sieht uns"], ["us", "the dog sees"])
    assert str(raised.value) == (
        f"pair 2: {pieces} {side} pieces with the end of sentence, but this model takes at most {pieces - 1} "
        f"(by its {options}): shorten its {side}"
    )
    monkeypatch.setattr(words.model, f"longest_{side}", pieces)
    assert len(words.score(["uns", "der Hund sieht uns"], ["us", "the dog sees"])) == 2
