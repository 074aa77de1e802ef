import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.search.beam import SearchOptions, beam_search

PAD, BOS, EOS, UNK = 0, 1, 2, 3
PENALTIES = [("none", 1.0), ("average", 1.0), ("average", 0.6), ("average", -0.7), ("gnmt", 0.6), ("gnmt", 2.0)]
DIVISORS = {
    "none": lambda length, alpha: 1.0,
    "average": lambda length, alpha: length**alpha,
    "gnmt": lambda length, alpha: (5 + length) ** alpha / 6**alpha,
}


def search(model, batch, sources, max_lengths, options, prefixes=None):
    source, lengths = batch(sources)
    return beam_search(model, source, lengths, torch.tensor(max_lengths), options, model.special, prefixes)


def plain_choices(model, source, tokens, max_length, options, prefix):
    """What may follow these tokens, with the number that is added to their total."""
    following, step = model.log_probs(source, tokens), len(tokens)
    if step < len(prefix):
        return {prefix[step]: following[prefix[step]]}
    if step == max_length - 1:
        return {EOS: following[EOS]}
    size = options.block_ngram
    said = {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)} if size else set()
    allowed = [word for word in model.words if tuple([*tokens, word][-size:]) not in said]
    if step + 1 >= options.min_length or not allowed:
        allowed.append(EOS)
    return {token: following[token] * (options.repetition_penalty if token in tokens else 1) for token in allowed}


def plain_score(model, source, tokens, total, options):
    coverage = [sum(weights) for weights in zip(*model.weights(source, tokens), strict=True)]
    unread = sum(math.log(min(covered, 1)) for covered in coverage)
    divisor = DIVISORS[options.length_penalty](len(tokens) + 1, options.length_alpha)
    return total / divisor + options.coverage_penalty * unread


def plain_beam_search(model, source, max_length, options, prefix=()):
    """One sentence in plain Python and float64, without early termination: (tokens, log_prob, score), best first."""
    max_length = max(max_length, len(prefix) + 1)
    live, finished = [([], 0.0)], []
    while live:
        candidates = [
            ([*tokens, token], total + value)
            for tokens, total in live
            for token, value in plain_choices(model, source, tokens, max_length, options, prefix).items()
        ]
        candidates.sort(key=lambda candidate: -candidate[1])
        kept = candidates[: options.beam_size - len(finished)]
        if options.threshold:
            kept = [candidate for candidate in kept if candidate[1] >= kept[0][1] - options.threshold]
        live = [candidate for candidate in kept if candidate[0][-1] != EOS]
        finished += [(tokens[:-1], total) for tokens, total in kept if tokens[-1] == EOS]
    scored = [
        (tokens, model.forced_score(source, tokens), plain_score(model, source, tokens, total, options))
        for tokens, total in finished
    ]
    return sorted(scored, key=lambda ended: -ended[2])


def assert_same(hypotheses, expected):
    assert [hypothesis.tokens for hypothesis in hypotheses] == [tokens for tokens, _, _ in expected]
    assert [hypothesis[1:3] for hypothesis in hypotheses] == [
        (pytest.approx(log_prob), pytest.approx(score)) for _, log_prob, score in expected
    ]


@pytest.mark.parametrize(("name", "alpha"), PENALTIES)
def test_a_beam_wide_enough_finds_what_enumeration_finds(table_model, batch, name, alpha):
    model, sources, max_lengths = table_model(), [[5, 8], [9], [4, 4, 4]], [5, 4, 2]
    everything = []
    for source, max_length in zip(sources, max_lengths, strict=True):
        ended = []
        for size in range(max_length):
            for tokens in product(model.words, repeat=size):
                log_prob = model.forced_score(source, list(tokens))
                ended.append((list(tokens), log_prob, log_prob / DIVISORS[name](size + 1, alpha)))
        everything.append(sorted(ended, key=lambda hypothesis: -hypothesis[2]))
    most = len(everything[0])
    assert most == 1 + 3 + 9 + 27 + 81

    for n_best in (1, 6, most):
        options = SearchOptions(beam_size=most, n_best=n_best, length_penalty=name, length_alpha=alpha)
        found = search(model, batch, sources, max_lengths, options)
        for hypotheses, expected in zip(found, everything, strict=True):
            assert_same(hypotheses[:n_best], expected[:n_best])
    assert [len(hypotheses) for hypotheses in found] == [121, 40, 4]


@pytest.mark.parametrize(("name", "alpha"), PENALTIES)
def test_beam_1_is_greedy(table_model, batch, sources, name, alpha):
    model = table_model(vocabulary_size=30, eos_bias=1.0)
    options = SearchOptions(beam_size=1, length_penalty=name, length_alpha=alpha)
    found = search(model, batch, sources, [12] * len(sources), options)
    for source, [hypothesis] in zip(sources, found, strict=True):
        tokens = []
        while len(tokens) < 11:
            following = model.log_probs(source, tokens)
            token = max([EOS, *model.words], key=lambda word, following=following: following[word])
            if token == EOS:
                break
            tokens.append(token)
        assert hypothesis.tokens == tokens
        assert hypothesis.log_prob == pytest.approx(model.forced_score(source, tokens))
    assert len({len(hypothesis.tokens) for [hypothesis] in found}) > 3


@pytest.mark.parametrize("eos_bias", [0.0, 1.5])
@pytest.mark.parametrize(("name", "alpha"), PENALTIES)
@pytest.mark.parametrize(("beam_size", "n_best"), [(2, 1), (3, 3), (5, 1), (5, 2), (12, 4)])
def test_early_termination_changes_nothing(table_model, batch, sources, name, alpha, eos_bias, beam_size, n_best):
    model = table_model(vocabulary_size=9, eos_bias=eos_bias)
    options = SearchOptions(beam_size=beam_size, n_best=n_best, length_penalty=name, length_alpha=alpha)
    found = search(model, batch, sources, [10] * len(sources), options)
    for source, hypotheses in zip(sources, found, strict=True):
        assert_same(hypotheses[:n_best], plain_beam_search(model, source, 10, options)[:n_best])
        assert n_best <= len(hypotheses) <= beam_size
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert len({tuple(hypothesis.tokens) for hypothesis in hypotheses}) == len(hypotheses)


@pytest.mark.parametrize("eos_bias", [0.0, 1.5])
@pytest.mark.parametrize("threshold", [0.1, 0.7, 2.0])
@pytest.mark.parametrize(("beam_size", "n_best"), [(1, 1), (3, 1), (5, 5), (12, 4)])
def test_hypotheses_far_behind_are_given_up(table_model, batch, sources, eos_bias, threshold, beam_size, n_best):
    model = table_model(vocabulary_size=9, eos_bias=eos_bias)
    options = SearchOptions(beam_size=beam_size, n_best=n_best, threshold=threshold)
    found = search(model, batch, sources, [10] * len(sources), options)
    for source, hypotheses in zip(sources, found, strict=True):
        assert_same(hypotheses[:n_best], plain_beam_search(model, source, 10, options)[:n_best])
        assert hypotheses


def test_only_what_lives_is_computed(table_model, batch, sources):
    """One row a sentence before the first step, then those that fill the beam; what ended or was given up is none."""
    model, rows = table_model(vocabulary_size=30, eos_bias=1.0), {}
    for threshold in (0.0, 0.5, 0.1, 1e-6):
        search(model, batch, sources, [12] * len(sources), SearchOptions(beam_size=4, threshold=threshold))
        rows[threshold] = model.row_counts
        assert rows[threshold][0] == len(sources)
    ended = 0  # at the first step, which leaves their slots empty
    for source in sources:
        values = model.log_probs(source, [])
        ended += EOS in sorted([EOS, *model.words], key=lambda token, values=values: -values[token])[:4]
    assert rows[0.0][1] == 4 * len(sources) - ended < 4 * len(sources)
    assert max(rows[1e-6]) == len(sources)
    totals = [sum(rows[threshold]) for threshold in (0.0, 0.5, 0.1)]
    assert totals[0] > 1.2 * totals[1] > 1.2 * 1.2 * totals[2]


def test_the_search_ends_early_and_drops_finished_sentences(table_model, batch, sources):
    model = table_model(eos_bias=2.0)
    search(model, batch, sources, [50] * len(sources), SearchOptions(beam_size=4))
    assert len(model.batch_sizes) < 25
    assert model.batch_sizes[0] == 12
    assert model.batch_sizes == sorted(model.batch_sizes, reverse=True)
    assert model.batch_sizes[-1] < 6


def test_the_search_does_not_wait_for_what_cannot_win(table_model, batch, sources):
    model = table_model(eos_bias=20.0)  # the empty translation beats everything at once
    for name in DIVISORS:
        found = search(model, batch, sources, [50] * len(sources), SearchOptions(length_penalty=name))
        assert model.batch_sizes == [12]
        assert [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in found] == [[[]]] * 12


def test_few_finished_sentences_wait_for_others_before_they_are_dropped(table_model, batch):
    model = table_model()
    search(model, batch, [[5]] * 17, [1, *[6] * 16], SearchOptions(beam_size=2, min_length=99))
    assert model.batch_sizes == [17] * 6  # one of 17 isn't worth a copy of the memory
    search(model, batch, [[5]] * 17, [1, 1, 1, *[6] * 14], SearchOptions(beam_size=2, min_length=99))
    assert model.batch_sizes == [17] + [14] * 5


@settings(derandomize=True, deadline=None, max_examples=150)
@given(data=st.data())
def test_any_batch_is_the_plain_search_of_each_sentence(table_model, batch, data):
    seed, eos_bias = data.draw(st.integers(0, 3)), data.draw(st.sampled_from([-1.0, 1.0]))
    model = table_model(vocabulary_size=8, seed=seed, eos_bias=eos_bias)
    size = data.draw(st.integers(1, 10))
    sources = data.draw(st.lists(st.lists(st.integers(4, 50), min_size=1, max_size=4), min_size=size, max_size=size))
    max_lengths = data.draw(st.lists(st.integers(1, 8), min_size=size, max_size=size))
    prefix = st.lists(st.sampled_from([*model.words, UNK]), max_size=4)
    prefixes = data.draw(st.lists(prefix, min_size=size, max_size=size))
    name, alpha = data.draw(st.sampled_from(PENALTIES))
    beam_size = data.draw(st.integers(1, 11))
    n_best = data.draw(st.integers(1, beam_size))
    options = SearchOptions(
        beam_size=beam_size, n_best=n_best, length_penalty=name, length_alpha=alpha,
        min_length=data.draw(st.integers(1, 6)),
        coverage_penalty=data.draw(st.sampled_from([0.0, 0.0, 0.2, 3.0])),
        block_ngram=data.draw(st.sampled_from([0, 0, 1, 2, 3])),
        repetition_penalty=data.draw(st.sampled_from([1.0, 1.0, 1.3, 4.0])),
    )  # fmt: skip
    found = search(model, batch, sources, max_lengths, options, prefixes)
    for i, hypotheses in enumerate(found):
        expected = plain_beam_search(model, sources[i], max_lengths[i], options, prefixes[i])
        assert_same(hypotheses[:n_best], expected[:n_best])


@pytest.mark.parametrize(("beam_size", "n_best"), [(1, 1), (4, 2), (12, 1)])
def test_results_do_not_depend_on_company(table_model, batch, beam_size, n_best):
    model = table_model(vocabulary_size=12, eos_bias=1.0)
    options = SearchOptions(beam_size=beam_size, n_best=n_best)
    sources = [[4 + i % 11] * (1 + i % 3) for i in range(40)]  # so many that the finished wait for others to be dropped
    max_lengths = [3 + i % 9 for i in range(len(sources))]
    together = search(model, batch, sources, max_lengths, options)
    alone = [search(model, batch, [source], [n], options)[0] for source, n in zip(sources, max_lengths, strict=True)]
    assert together == alone
    order = torch.randperm(len(sources), generator=torch.Generator().manual_seed(1)).tolist()
    shuffled = search(model, batch, [sources[i] for i in order], [max_lengths[i] for i in order], options)
    assert shuffled == [together[i] for i in order]


@pytest.mark.parametrize("beam_size", [1, 3, 8])
def test_ties_are_broken_alike_in_any_company(table_model, batch, sources, beam_size):
    model = table_model(vocabulary_size=50)
    model.table = (model.table / 2).round()  # few values, so that nearly every choice is a tie
    options = SearchOptions(beam_size=beam_size, n_best=beam_size)
    together = search(model, batch, sources, [8] * len(sources), options)
    assert together == search(model, batch, sources, [8] * len(sources), options)
    assert together == [search(model, batch, [source], [8], options)[0] for source in sources]


def test_of_equal_scores_the_one_that_ended_first_wins(table_model, batch):
    model = table_model(vocabulary_size=6)
    model.table[:] = 0
    options = SearchOptions(beam_size=20, n_best=20)
    [hypotheses] = search(model, batch, [[5]], [4], options)
    assert len({hypothesis.score for hypothesis in hypotheses}) == 1
    assert [len(hypothesis.tokens) for hypothesis in hypotheses] == [0, 1, 1, *[2] * 4, *[3] * 8]


def test_weights_belong_to_their_hypothesis_and_source(table_model, batch, sources):
    model, options = table_model(eos_bias=1.0), SearchOptions(beam_size=5, n_best=3, return_attention=True)
    found = search(model, batch, sources, [9] * len(sources), options)
    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            assert hypothesis.weights.shape == (len(hypothesis.tokens) + 1, len(source))
            torch.testing.assert_close(hypothesis.weights, torch.tensor(model.weights(source, hypothesis.tokens)))


def test_no_weights_unless_asked_for_and_none_without_attention(table_model, batch):
    [[hypothesis, *_]] = search(table_model(), batch, [[5, 6]], [5], SearchOptions())
    assert hypothesis.weights is None

    class WithoutAttention(table_model):
        def step(self, tokens, state):
            return super().step(tokens, state)._replace(weights=None)

    [[hypothesis, *_]] = search(WithoutAttention(), batch, [[5, 6]], [5], SearchOptions(return_attention=True))
    assert hypothesis.weights is None


def test_logits_in_bf16_are_summed_in_float32_and_never_edited(table_model, batch, sources):
    rounded = table_model(vocabulary_size=30)
    rounded.table = rounded.table.bfloat16().float()
    expected = search(rounded, batch, sources, [8] * len(sources), SearchOptions())

    class Bf16(table_model):
        def step(self, tokens, state):
            output = super().step(tokens, state)
            self.given.append((output.logits.bfloat16(), output.logits.bfloat16()))
            return output._replace(logits=self.given[-1][0])

    model = Bf16(vocabulary_size=30)
    model.given = []
    assert search(model, batch, sources, [8] * len(sources), SearchOptions()) == expected
    assert all(torch.equal(logits, before) for logits, before in model.given)


@pytest.mark.parametrize("value", [float("nan"), -torch.inf])
def test_broken_logits_end_in_an_error_and_not_in_a_loop(table_model, batch, value):
    model = table_model()
    model.table[:] = value
    with pytest.raises(ValueError, match="no translation of sentence 0 of the batch: the model's logits are NaN"):
        search(model, batch, [[5], [6]], [5, 5], SearchOptions())


def test_logits_that_break_later_or_in_part_leave_the_other_sentences_whole(table_model, batch):
    model = table_model()
    sources = [[5], [6]]
    expected = search(model, batch, sources, [6, 6], SearchOptions(beam_size=3))
    for prefix in ([], *([word] for word in model.words)):
        for more in ([], *([word] for word in model.words)):
            model.table[model.hash(sources[1], [*prefix, *more])] = float("nan")
    with pytest.raises(ValueError, match="no translation of sentence 1 of the batch"):
        search(model, batch, sources, [6, 6], SearchOptions(beam_size=3))
    assert search(model, batch, sources[:1], [6], SearchOptions(beam_size=3)) == expected[:1]


def test_a_batch_of_nothing_gives_nothing(table_model):
    model, none = table_model(), torch.empty(0, dtype=torch.long)
    assert beam_search(model, torch.empty(0, 3, dtype=torch.long), none, none, SearchOptions(), model.special) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size=0 must be at least 1"),
        ({"beam_size": 3, "n_best": 4}, r"n_best=4 must be between 1 and beam_size \(3\)"),
        ({"n_best": 0}, r"n_best=0 must be between 1 and beam_size \(5\)"),
        ({"length_penalty": "wu"}, "length_penalty=wu is unknown"),
        ({"coverage_penalty": -0.1}, "coverage_penalty=-0.1 must be positive, or 0 for none"),
        ({"block_ngram": -1}, "block_ngram=-1 must be positive, or 0 to allow any repetition"),
        ({"repetition_penalty": 0.9}, "repetition_penalty=0.9 must be a number from 1, which changes nothing"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SearchOptions(**options)
