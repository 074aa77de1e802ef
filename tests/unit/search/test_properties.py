"""What holds for every model, sound or broken, and for all options of the search and of sampling."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.sampling import SamplingOptions, sample

PAD, BOS, EOS, UNK = 0, 1, 2, 3
NAN, INF = math.nan, math.inf
NO_TRANSLATION = r"no translation of sentence (\d+) of the batch: the model's logits are NaN, or -inf"

repeatable = settings(derandomize=True, database=None, deadline=None)


class Job:
    """Sentences with their limits and prefixes, and the options of a beam search."""

    def __init__(self, sources, max_lengths, prefixes, options):
        self.sources, self.max_lengths, self.prefixes, self.options = sources, max_lengths, prefixes, options

    def __repr__(self):
        return f"Job({self.sources}, {self.max_lengths}, {self.prefixes}, {self.options})"

    def limit(self, i):
        return max(self.max_lengths[i], len(self.prefixes[i]) + 1)

    def pick(self, places):
        lists = (self.sources, self.max_lengths, self.prefixes)
        return Job(*([items[i] for i in places] for items in lists), self.options)

    def search(self, model, batch):
        source, lengths = batch(self.sources)
        limits = torch.tensor(self.max_lengths)
        return beam_search(model, source, lengths, limits, self.options, model.special, self.prefixes)

    def sample(self, model, batch, seed):
        """With the beam's size as the number of samples."""
        of_beams = ("beam_size", "threshold", "n_best")
        shared = {key: value for key, value in vars(self.options).items() if key not in of_beams}
        options = SamplingOptions(samples=self.options.beam_size, temperature=0.7, top_p=0.9, **shared)
        seeds = [seed + sum(source) for source in self.sources]
        source, lengths = batch(self.sources)
        limits = torch.tensor(self.max_lengths)
        return sample(model, source, lengths, limits, options, model.special, seeds, self.prefixes)


@st.composite
def jobs(draw, words=(4, 5, 6, 7)):
    size, beam_size = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    exactly = {"min_size": size, "max_size": size}
    options = SearchOptions(
        beam_size=beam_size,
        threshold=draw(st.sampled_from([0.0, 0.0, 1e-9, 0.5, 2.0, 100.0])),
        n_best=draw(st.integers(1, beam_size)),
        length_penalty=draw(st.sampled_from(["none", "average", "gnmt"])),
        length_alpha=draw(st.sampled_from([0.0, 0.6, 1.0, 10.0])),
        coverage_penalty=draw(st.sampled_from([0.0, 0.2, 100.0])),
        min_length=draw(st.integers(0, 12)),
        block_ngram=draw(st.sampled_from([0, 0, 1, 2, 1000])),
        repetition_penalty=draw(st.sampled_from([1.0, 1.3, 100.0])),
    )
    return Job(
        draw(st.lists(st.lists(st.integers(4, 60), min_size=1, max_size=5), **exactly)),
        draw(st.lists(st.integers(1, 9), **exactly)),
        draw(st.lists(st.lists(st.sampled_from([*words, UNK, PAD]), max_size=3), **exactly)),
        options,
    )


@pytest.fixture(scope="module")
def build(table_model):
    """A model of eight tokens; `breaks` are (which rows of its table, one in so many; what to write on them)."""

    @functools.cache
    def table(seed, scale):
        return table_model(vocabulary_size=8, seed=seed, scale=scale).table

    def make(seed, scale=1.5, breaks=()):
        model = table_model(vocabulary_size=8)
        model.table = table(seed, scale).clone()
        for one_in, tokens, value in breaks:
            for token in tokens:
                model.table[seed % one_in :: one_in, token] = value
        return model

    return make


def assert_lawful(job, i, hypotheses):
    """What holds of each hypothesis of sentence i."""
    prefix, limit, options = job.prefixes[i], job.limit(i), job.options
    assert hypotheses
    for tokens, log_prob, score, _ in hypotheses:
        assert len(tokens) + 1 <= limit
        assert tokens[: len(prefix)] == prefix
        assert not {PAD, BOS, EOS, UNK} & {*tokens[len(prefix) :]}
        if not options.repetition().remembers:  # else a sentence may end where no word is left to say
            assert len(tokens) + 1 >= min(options.min_length, limit)
        assert math.isfinite(log_prob)
        assert math.isfinite(score)


def assert_ranked(job, hypotheses):
    assert len(hypotheses) <= job.options.beam_size
    assert len({tuple(hypothesis.tokens) for hypothesis in hypotheses}) == len(hypotheses)
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)


def assert_same(found, expected):
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    for one, other in zip(found, expected, strict=True):
        assert one[1:3] == pytest.approx(other[1:3], rel=1e-5)


@settings(repeatable, max_examples=150)
@given(job=jobs(), seed=st.integers(0, 5), scale=st.sampled_from([0.0, 0.3, 1.5, 40.0]))
def test_any_search_keeps_the_laws_and_no_sentence_knows_of_the_others(build, batch, job, seed, scale):
    model = build(seed, scale)
    found = job.search(model, batch)
    assert len(model.batch_sizes) <= max(job.limit(i) for i in range(len(job.sources)))
    for i, hypotheses in enumerate(found):
        assert_lawful(job, i, hypotheses)
        assert_ranked(job, hypotheses)
        for hypothesis in hypotheses:
            forced = model.forced_score(job.sources[i], hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(forced, rel=1e-4, abs=1e-4)
        assert_same(job.pick([i]).search(model, batch)[0], hypotheses)
    backwards = job.pick(range(len(job.sources))[::-1]).search(model, batch)
    for hypotheses, expected in zip(backwards[::-1], found, strict=True):
        assert_same(hypotheses, expected)


@settings(repeatable, max_examples=60)
@given(job=jobs(), seed=st.integers(0, 5), scale=st.sampled_from([0.0, 1.5, 40.0]))
def test_any_samples_keep_the_laws_and_no_sentence_knows_of_the_others(build, batch, job, seed, scale):
    model = build(seed, scale)
    for i, hypotheses in enumerate(job.sample(model, batch, seed)):
        assert len(hypotheses) == job.options.beam_size
        assert_lawful(job, i, hypotheses)
        for hypothesis in hypotheses:
            forced = model.forced_score(job.sources[i], hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(forced, rel=1e-4, abs=1e-4)
        assert_same(job.pick([i]).sample(model, batch, seed)[0], hypotheses)


@settings(repeatable, max_examples=60)
@given(job=jobs(), seed=st.integers(0, 5))
def test_a_beam_of_one_takes_the_likeliest_allowed_token_at_every_step(build, batch, job, seed):
    model = build(seed)
    job.options = SearchOptions(beam_size=1, min_length=job.options.min_length, length_alpha=job.options.length_alpha)
    for i, [hypothesis] in enumerate(job.search(model, batch)):
        source, limit, prefix = job.sources[i], job.limit(i), job.prefixes[i]
        tokens = [*prefix]
        while len(tokens) + 1 < limit:
            following = model.log_probs(source, tokens)
            allowed = [*model.words, EOS] if len(tokens) + 1 >= job.options.min_length else model.words
            best = max(allowed, key=lambda token, following=following: following[token])
            if best == EOS:
                break
            tokens.append(best)
        assert hypothesis.tokens == tokens


# --- broken models: weights that overflow give logits of inf or NaN


BREAKS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 5, 20]),
        st.sampled_from([range(8), [EOS], [4], [4, 5, 6, 7], [PAD, BOS, UNK]]),
        st.sampled_from([NAN, INF, -INF, 3e38]),
    ),
    min_size=1,
    max_size=2,
)


def attempt(run):
    """What `run` gives, and the place of the first sentence without a translation instead where there is one."""
    try:
        return run(), None
    except ValueError as error:
        message = str(error)
    assert message.startswith("no translation of sentence ")
    assert message.endswith(" of the batch: the model's logits are NaN, or -inf wherever a token is allowed")
    return None, int(message.split()[4])


@settings(repeatable, max_examples=150)
@given(job=jobs(), seed=st.integers(0, 5), breaks=BREAKS)
def test_a_broken_model_gives_finite_scores_or_one_error_and_breaks_no_other_sentence(build, batch, job, seed, breaks):
    model = build(seed, breaks=breaks)
    found, failed = attempt(lambda: job.search(model, batch))
    assert len(model.batch_sizes) <= max(job.limit(i) for i in range(len(job.sources)))
    alone = [attempt(lambda i=i: job.pick([i]).search(model, batch)) for i in range(len(job.sources))]
    lost = [i for i, (_, broken) in enumerate(alone) if broken is not None]
    assert failed == (lost[0] if lost else None)
    for i, (searched, _) in enumerate(alone):
        if searched is not None:
            assert_lawful(job, i, searched[0])
            assert_ranked(job, searched[0])
        if found is not None:
            assert_same(searched[0], found[i])


@settings(repeatable, max_examples=100)
@given(job=jobs(), seed=st.integers(0, 5), breaks=BREAKS)
def test_a_broken_model_gives_finite_samples_or_one_error(build, batch, job, seed, breaks):
    model = build(seed, breaks=breaks)
    found, failed = attempt(lambda: job.sample(model, batch, seed))
    assert len(model.batch_sizes) <= max(job.limit(i) for i in range(len(job.sources)))
    assert failed is None or 0 <= failed < len(job.sources)
    for i, hypotheses in enumerate(found or []):
        assert_lawful(job, i, hypotheses)


def test_attention_that_is_nan_is_an_error_where_it_counts(table_model, batch):
    class Lost(table_model):
        def step(self, tokens, state):
            output = super().step(tokens, state)
            return output._replace(weights=torch.full_like(output.weights, NAN))

    options = SearchOptions(beam_size=3)
    plain, lost = (Job([[5, 6]], [4], [[]], options).search(model, batch) for model in (table_model(), Lost()))
    assert_same(lost[0], plain[0])
    with pytest.raises(ValueError, match=NO_TRANSLATION):
        Job([[5, 6]], [4], [[]], SearchOptions(beam_size=3, coverage_penalty=0.2)).search(Lost(), batch)
