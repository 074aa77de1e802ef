"""Several trained models that translate together: loaded, searched, scored."""

import dataclasses
import re
from itertools import product

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.batch import collate
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.lengths import LargestLimit, LengthLimit
from seq2seq.data.lexicon import Lexicon
from seq2seq.data.text import ParallelText
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.evaluation.members import predict
from seq2seq.evaluation.saved import Saved, model_for
from seq2seq.evaluation.searching import override
from seq2seq.evaluation.translator import Translator
from seq2seq.models.packed import PackedLinear
from seq2seq.models.weights import distinct
from seq2seq.options import RuntimeConfig
from seq2seq.runs import RunFolder
from seq2seq.text.pair import TokenizerPair

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind", "das alte Haus", "der Nachbar hört den Hund"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child", "the old house", "our neighbour hears the dog"]
LINES = [*SOURCES, "uns", "der Hund hört das alte Haus und die Katze sieht uns", "Zwölf Boxkämpfer"]
KINDS = [("gru", "bahdanau"), ("lstm", "luong_general"), ("gru", "none")]
SEARCHES = [
    {},
    {"beam_size": 1},
    {"beam_size": 6, "n_best": 4, "length_penalty": "gnmt"},
    {"sample": True, "n_best": 3, "temperature": 0.8},
    {"block_ngram": 2, "repetition_penalty": 1.3, "coverage_penalty": 0.2},
    {"shortlist": 12},
]


@pytest.fixture(scope="module")
def singles(make_translator):
    """A GRU with Bahdanau's attention, an LSTM with Luong's, and a GRU without any, of the same pieces."""
    made = [make_translator(SOURCES, TARGETS, "bpe", *kind) for kind in KINDS]
    assert len({str(one.tokenizers.digests) for one in made}) == 1
    return made


@pytest.fixture(scope="module")
def lexicon(singles):
    tokenizers = singles[0].tokenizers
    corpus = EncodedCorpus.encode(ParallelText("pairs", SOURCES, TARGETS, ()), tokenizers)
    sizes = tokenizers.source.vocab_size, tokenizers.target.vocab_size, tokenizers.source.eos_id
    return Lexicon.learn(corpus, *sizes, shared=False)


def joined(translators, lexicon=None, precision="fp32", **search):
    """The ensemble of these translators' models, with the first one's options and these changes."""
    first, *others = translators
    return Translator(
        first.model,
        first.tokenizers,
        first.limit,
        override(first.search, search),
        dataclasses.replace(first.runtime, precision=precision),
        lexicon,
        [other.model for other in others],
    )


def assert_same(one, other, tolerance=1e-4):
    assert [hypothesis.text for hypothesis in one.hypotheses] == [hypothesis.text for hypothesis in other.hypotheses]
    for mine, its in zip(one.hypotheses, other.hypotheses, strict=True):
        assert mine.tokens == its.tokens
        assert (mine.score, mine.log_prob) == pytest.approx((its.score, its.log_prob), abs=tolerance)
        if mine.attention is not None:
            torch.testing.assert_close(mine.attention, its.attention, atol=tolerance, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_a_model_with_itself_is_that_model(singles, lexicon, search, precision):
    alone = joined(singles[:1], lexicon, precision, **search)
    doubled = joined([singles[0], singles[0]], lexicon, precision, **search)
    prefixes = ["", "the cat", *[""] * 6]
    arguments = {"prefixes": prefixes, "attention": True, "attention_bias": [[2.0], *[None] * 7]}
    arguments["attention_bias"][0] = [2.0] * len(singles[0].tokenizers.source.encode(LINES[0]))
    translations = alone.translate(LINES, **arguments)
    assert len({translation.text for translation in translations}) > 3
    for one, other in zip(translations, doubled.translate(LINES, **arguments), strict=True):
        assert_same(one, other, 0.0)


@pytest.mark.parametrize(
    ("precision", "search"), [*product(["fp32"], SEARCHES), ("int8", {}), ("int8", {"shortlist": 12})], ids=str
)
def test_a_line_does_not_depend_on_its_company(singles, lexicon, search, precision):
    ensemble = joined(singles, lexicon, precision, **search)
    alone = [ensemble.translate([line], attention=True)[0] for line in LINES]
    assert len({translation.text for translation in alone}) > 3
    tolerance = 1e-4 if precision == "fp32" else 1e-2
    for batch_size in (3, 64):
        for one, other in zip(ensemble.translate(LINES, batch_size=batch_size, attention=True), alone, strict=True):
            assert_same(one, other, tolerance)


def test_log_probabilities_are_the_normalised_mean(singles):
    """Each member's teacher-forced distribution in float64, averaged in the logarithm and normalised again."""
    ensemble = joined(singles)
    pairs = [(SOURCES[0], TARGETS[0]), (SOURCES[1], TARGETS[4]), ("ein Hund", "")]
    corpus = EncodedCorpus.encode(ParallelText("p", *map(list, zip(*pairs, strict=True)), ()), ensemble.tokenizers)
    scored = ensemble.score(*zip(*pairs, strict=True), attention=True)
    for i, pair in enumerate(scored):
        batch = collate(corpus, [i], ensemble.tokenizers)
        with torch.no_grad():
            of_members = [predict(single.model.eval(), batch) for single in singles]
        mean = torch.stack([logits.double().log_softmax(1) for logits, _ in of_members]).mean(0)
        expected = mean - mean.exp().sum(1, keepdim=True).log()
        gold = batch.target_output[batch.target_mask]
        assert pair.token_log_probs == pytest.approx(expected[range(len(gold)), gold].tolist(), abs=1e-4)
        attended = torch.stack([weights[0].double() for _, weights in of_members if weights is not None]).mean(0)
        torch.testing.assert_close(pair.attention.double(), attended, atol=1e-5, rtol=0)


def test_the_search_gives_what_scoring_gives(singles):
    ensemble = joined(singles, beam_size=8, n_best=8)
    found = [(many.source, one) for many in ensemble.translate(LINES) for one in many.hypotheses]
    scored = ensemble.score([line for line, _ in found], [one.text for _, one in found])
    # Where the text is cut again into the pieces that it was made of.
    same = [(one, pair) for (_, one), pair in zip(found, scored, strict=True) if one.tokens == pair.tokens[:-1]]
    assert len(same) > 3
    for one, pair in same:
        assert one.log_prob == pytest.approx(pair.log_prob, abs=1e-3)
    alone = joined(singles[:1], beam_size=8, n_best=8).translate(LINES)
    assert {one.text for _, one in found} != {one.text for many in alone for one in many.hypotheses}


def test_a_shortlist_restricts_all_members(singles, lexicon):
    short = joined(singles, lexicon, shortlist=9, n_best=3)
    tokenizers, most = short.tokenizers, {*lexicon.frequent[:9].tolist()}
    for line, translation in zip(LINES, short.translate(LINES), strict=True):
        source = torch.tensor([[*tokenizers.source.encode(line), tokenizers.source.eos_id]])
        own = most | {*lexicon.allowed(source)[0].nonzero().flatten().tolist()}
        for hypothesis in translation.hypotheses:
            assert {*hypothesis.tokens} <= {*tokenizers.target.pieces(sorted(own))}


def test_one_member_that_attends_is_enough(singles):
    attending, silent = joined([singles[2], singles[0]]), joined([singles[2], singles[2]])
    (translation,) = attending.translate(LINES[:1], attention=True)
    (own,) = singles[0].score(LINES[:1], [translation.text], attention=True)
    torch.testing.assert_close(translation.attention.sum(1), torch.ones(len(translation.tokens) + 1))
    if own.tokens[:-1] == translation.tokens:
        torch.testing.assert_close(translation.attention, own.attention, atol=1e-4, rtol=0)
    assert silent.translate(LINES[:1], attention=True)[0].attention is None
    with pytest.raises(DataError, match="this model has no attention"):
        silent.translate(LINES[:1], attention_bias=[[1.0] * len(silent.tokenizers.source.encode(LINES[0]))])
    with pytest.raises(ConfigError, match="needs attention weights"):
        joined([singles[2], singles[2]], coverage_penalty=0.1)


def test_what_one_member_cannot_read_or_write_the_ensemble_cannot(singles, monkeypatch):
    ensemble = joined(singles)
    assert (ensemble.members.longest_source, ensemble.members.longest_target) == (None, None)
    for model, source, target in zip(ensemble.members.models, (9, None, 7), (None, 30, 4), strict=True):
        monkeypatch.setattr(model, "longest_source", source)
        monkeypatch.setattr(model, "longest_target", target)
    assert (ensemble.members.longest_source, ensemble.members.longest_target) == (7, 4)
    assert len(ensemble.translate(LINES)[6].source_tokens) == 7
    assert all(len(translation.tokens) <= 3 for translation in ensemble.translate(LINES))


def test_the_length_limit_is_the_largest_at_each_length():
    steep, flat = LengthLimit(2.0, 1.0), LengthLimit(0.5, 10.0)
    lengths = torch.tensor([1, 5, 6, 7, 20, 900])
    # 2S + 1 and S/2 + 10 rounded up, EOS on top, at most 100 in all
    assert LargestLimit((steep, flat)).limits(lengths, 100).tolist() == [12, 14, 14, 16, 42, 100]


# Runs in their folders.

SMALL = {"embedding_size": 8, "encoder": {"name": "gru", "hidden_size": 4}, "decoder": {"name": "gru"}}
ON_CPU = {"runtime": Config.from_dict({"device": "cpu", "precision": "fp32", "threads": 1})}


def save(path, tokenizers, weights=(1,), limit=(1.5, 5.0), **options):
    """A run with a checkpoint for each seed in `weights`, the first one the best."""
    config, folder = Config.from_dict(SMALL | options), RunFolder(path)
    with folder.lock:
        folder.create(config)
    tokenizers.save(folder.tokenizer)
    folder.write_json("data.json", {"length_limit": LengthLimit(*limit)._asdict(), "tokenizer": tokenizers.digests})
    for number, seed in enumerate(weights, start=1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = model_for(config, tokenizers)
        folder.checkpoints.save(10 * number, model, {}, rank=float(number), scores={}, keep_last=1, keep_best=9)
        folder.checkpoints.wait()
    return path


@pytest.fixture(scope="module")
def pair():
    return TokenizerPair.train(SOURCES, TARGETS, shared=True, model_type="char", vocab_size="auto")


def test_runs_are_loaded_together(pair, tmp_path):
    one = save(tmp_path / "one", pair, search={"beam_size": 3}, limit=(1.5, 5.0))
    two = save(tmp_path / "two", pair, (2,), attention="bahdanau", search={"beam_size": 7}, limit=(1.0, 9.0))
    ensemble = Translator.load([one, str(two)], search={"n_best": 2}, **ON_CPU)
    assert (ensemble.search.beam_size, ensemble.search.n_best) == (3, 2)
    assert ensemble.limit.limits(torch.tensor([2, 20]), 99).tolist() == [12, 36]
    for folder, model in zip((one, two), ensemble.members.models, strict=True):
        assert all(map(torch.equal, distinct(model).values(), distinct(Saved.load(folder, "best").model).values()))
    assert Translator.load([one], **ON_CPU).limit == LengthLimit(1.5, 5.0)


@pytest.mark.parametrize(
    ("precision", "search"), [("fp32", {"beam_size": 3, "shortlist": 12}), ("int8", {"beam_size": 3})], ids=str
)
def test_runs_are_loaded_with_packed_weights_where_that_can_be(pair, tmp_path, monkeypatch, search, precision):
    paths = [save(tmp_path / "one", pair), save(tmp_path / "two", pair, (2,), attention="bahdanau")]
    corpus = EncodedCorpus.encode(ParallelText("pairs", SOURCES, TARGETS, ()), pair)
    sizes = pair.source.vocab_size, pair.target.vocab_size, pair.source.eos_id
    Lexicon.learn(corpus, *sizes, shared=True).save(RunFolder(paths[0]).lexicon, pair.digests)
    asked = RuntimeConfig("cpu", precision, 1)
    found = {}
    for able in (False, True):
        monkeypatch.setattr("seq2seq.evaluation.translator.can_pack", lambda able=able: able)
        ensemble = Translator.load(paths, search=search, runtime=asked)
        kinds = {type(part) for model in ensemble.members.models for part in model.modules()}
        assert (PackedLinear in kinds) == able
        found[able] = ensemble.translate(LINES, batch_size=2)
    for one, other in zip(*found.values(), strict=True):
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-4)
    if precision == "fp32":
        with ensemble.spread(1) as spread:  # by a process, which knows the kind of layer too
            for one, other in zip(spread.translate(LINES, batch_size=2), found[True], strict=True):
                assert (one.text, one.score) == (other.text, other.score)


def test_runs_of_different_tokenizers_are_refused_before_weights_are_read(pair, tmp_path):
    other = TokenizerPair.train(SOURCES[:2], TARGETS[:2], shared=True, model_type="char", vocab_size="auto")
    one, two = save(tmp_path / "one", pair), save(tmp_path / "two", other)
    for path in (tmp_path / "one" / "checkpoints").iterdir():
        path.unlink()  # not looked for yet
    with pytest.raises(ConfigError) as caught:
        Translator.load([one, two], **ON_CPU)
    assert str(caught.value) == (
        f"run=[...]: {one} and {two} have different tokenizers, so that their pieces are not the same; the members of "
        f"an ensemble need one: train the second with tokenizer.model={one}"
    )


def test_the_third_run_is_looked_at_too(pair, tmp_path):
    other = TokenizerPair.train(SOURCES[:2], TARGETS[:2], shared=True, model_type="char", vocab_size="auto")
    paths = [save(tmp_path / "one", pair), save(tmp_path / "two", pair), save(tmp_path / "three", other)]
    with pytest.raises(ConfigError, match=re.escape(f"{paths[0]} and {paths[2]} have different tokenizers")):
        Translator.load(paths, **ON_CPU)


def test_runs_of_opposite_directions_are_refused(pair, tmp_path):
    there = save(tmp_path / "there", pair, data={"source": "de", "target": "en"})
    back = save(tmp_path / "back", pair, data={"source": "en", "target": "de"})
    with pytest.raises(ConfigError, match=re.escape(f"{there} translates de to en, but {back} en to de")):
        Translator.load([there, back], **ON_CPU)


def test_no_runs_are_no_ensemble():
    with pytest.raises(ConfigError, match="at least one run's folder"):
        Translator.load([], **ON_CPU)


@pytest.mark.parametrize(("kept", "seeds"), [(2, (5, 6)), (3, (5, 6, 7)), (9, (5, 6, 7, 8))])
def test_the_average_is_of_the_best_that_are_kept(pair, tmp_path, kept, seeds):
    path = save(tmp_path / "run", pair, (5, 6, 7, 8), tie_embeddings="all", trainer={"keep_best": kept})
    averaged = distinct(Saved.load(path, "average").model)
    members = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            members.append(distinct(model_for(RunFolder.open(path).read_config(), pair)))
    for name, tensor in averaged.items():
        expected = torch.stack([member[name].detach().double() for member in members]).mean(0).float()
        assert torch.equal(tensor, expected), name
        assert not torch.equal(tensor, members[0][name]) or not members[0][name].any(), name


def test_an_average_of_one_is_refused(pair, tmp_path):
    path = save(tmp_path / "run", pair, (5, 6))
    with pytest.raises(CheckpointError) as caught:
        Translator.load(path, checkpoint="average", **ON_CPU)
    assert str(caught.value) == (
        f"checkpoint=average is the mean of two or more checkpoints, but trainer.keep_best=1 leaves 1 in "
        f"{path}/checkpoints; train with trainer.keep_best=5, or use checkpoint=best or last"
    )


def test_an_ensemble_of_averages(pair, tmp_path):
    paths = [save(tmp_path / str(seed), pair, (seed, seed + 1), trainer={"keep_best": 2}) for seed in (1, 5)]
    ensemble = Translator.load(paths, checkpoint="average", **ON_CPU)
    for path, model in zip(paths, ensemble.members.models, strict=True):
        assert all(map(torch.equal, distinct(model).values(), distinct(Saved.load(path, "average").model).values()))
