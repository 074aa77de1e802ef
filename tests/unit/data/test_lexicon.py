"""The table against IBM model 1 in plain Python, and files that hold something else."""

import json
import random
from collections import Counter, defaultdict

import pytest
import torch
from safetensors.torch import save_file

from seq2seq.data import lexicon
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.lexicon import Lexicon
from seq2seq.errors import CheckpointError

SOURCE_SIZE, TARGET_SIZE, EOS = 13, 11, 2
DIGESTS = {"source": "a" * 64, "target": "b" * 64}
FACTS = {"tokenizers": json.dumps(DIGESTS)}


def corpus_of(pairs):
    def side(sentences):
        lengths = torch.tensor([0, *map(len, sentences)])
        return torch.tensor([id for sentence in sentences for id in sentence], dtype=torch.int32), lengths.cumsum(0)

    return EncodedCorpus(*side([source for source, _ in pairs]), *side([target for _, target in pairs]))


@pytest.fixture(scope="module")
def pairs():
    """Each source word has a translation, in any order, with a word between now and then; an empty side as well."""
    draw = random.Random(4)
    made = [([], [5]), ([6, 7], [])]
    for _ in range(60):
        source = [draw.randint(3, SOURCE_SIZE - 2) for _ in range(draw.randint(1, 6))]
        target = [3 + word * 5 % 8 for word in source if draw.random() < 0.9] + [3] * draw.randint(0, 2)
        draw.shuffle(target)
        made.append((source, target))
    return made


def model_1(pairs, iterations):
    """Brown et al. (1993), section 4.1, with EOS as the empty word: t[f][e]."""
    table = defaultdict(lambda: defaultdict(lambda: 1.0))
    for _ in range(iterations):
        counts = defaultdict(lambda: defaultdict(float))
        for source, target in pairs:
            for e in target:
                total = sum(table[f][e] for f in [*source, EOS])
                for f in [*source, EOS]:
                    counts[f][e] += table[f][e] / total
        table = {f: {e: count / sum(row.values()) for e, count in row.items()} for f, row in counts.items()}
    return table


def assert_likeliest(candidates, pairs, kept):
    expected = model_1(pairs, lexicon.ITERATIONS)
    for f, row in enumerate(candidates.tolist()):
        probs = expected.get(f, {})
        best = sorted(probs.values(), reverse=True)[:kept]
        assert row[len(best) :] == [TARGET_SIZE] * (kept - len(best))
        assert len({*row[: len(best)]}) == len(best)
        assert [probs[e] for e in row[: len(best)]] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize(("block", "at_once"), [(1 << 24, 1 << 22), (1, 1), (2 * TARGET_SIZE, 10)])
def test_candidates_are_the_likeliest_of_model_1(monkeypatch, pairs, block, at_once):
    monkeypatch.setattr(lexicon, "LARGEST_BLOCK", block)
    monkeypatch.setattr(lexicon, "AT_ONCE", at_once)
    monkeypatch.setattr(lexicon, "CANDIDATES", 4)
    learnt = Lexicon.learn(corpus_of(pairs), SOURCE_SIZE, TARGET_SIZE, EOS, shared=False)
    assert learnt.candidates.dtype == torch.int32
    assert_likeliest(learnt.candidates, pairs, 4)
    assert [learnt.candidates[f, 0] for f in range(3, 11)] == [3 + f * 5 % 8 for f in range(3, 11)]


def test_a_large_corpus_is_sampled_evenly(monkeypatch, pairs):
    """Every second pair, where twice as many would be too much, and none that is too long by itself."""
    weights = [(len(source) + 1) * len(target) for source, target in pairs]
    monkeypatch.setattr(lexicon, "LARGEST_SAMPLE", sum(min(weight, 25) for weight in weights) // 2 + 1)
    monkeypatch.setattr(lexicon, "LARGEST_PAIR", 25)
    learnt = Lexicon.learn(corpus_of(pairs), SOURCE_SIZE, TARGET_SIZE, EOS, shared=False)
    chosen = [pair for pair, weight in zip(pairs[::2], weights[::2], strict=True) if weight <= 25]
    assert 5 < len(chosen) < len(pairs[::2])
    assert_likeliest(learnt.candidates, chosen, TARGET_SIZE)


def test_a_piece_of_both_sides_is_a_candidate_of_its_own(pairs):
    learnt = Lexicon.learn(corpus_of(pairs), SOURCE_SIZE, SOURCE_SIZE, EOS, shared=True)
    assert learnt.candidates[:, 0].tolist() == list(range(SOURCE_SIZE))
    for row in learnt.candidates.tolist():
        real = [e for e in row if e < SOURCE_SIZE]
        assert len(real) == len({*real})
    assert learnt.candidates[12].tolist() == [12] + [SOURCE_SIZE] * (SOURCE_SIZE - 1)  # of which there is no pair


def test_what_a_sentence_may_use():
    candidates = torch.tensor([[9, 9, 9], [4, 5, 6], [7, 1, 9], [4, 0, 9], [9, 9, 9]], dtype=torch.int32)
    learnt = Lexicon(candidates, torch.tensor([8, 4, 3], dtype=torch.int32), target_size=9)
    mask = learnt.allowed(torch.tensor([[1, 3, 2], [3, 2, 0]]))
    assert mask.shape == (2, 9)
    assert [{*row.nonzero().flatten().tolist()} for row in mask] == [{4, 5, 6, 0, 7, 1}, {4, 0, 7, 1}]


def test_frequent_pieces_come_by_their_counts(pairs):
    counts = Counter(piece for _, target in pairs for piece in target)
    learnt = Lexicon.learn(corpus_of(pairs), SOURCE_SIZE, TARGET_SIZE, EOS, shared=False)
    assert learnt.frequent.tolist() == sorted(counts, key=lambda piece: (-counts[piece], piece))


def test_it_is_read_as_it_was_written(tmp_path, pairs):
    learnt = Lexicon.learn(corpus_of(pairs), SOURCE_SIZE, TARGET_SIZE, EOS, shared=False)
    learnt.save(tmp_path / "l", DIGESTS)
    read = Lexicon.load(tmp_path / "l", DIGESTS, SOURCE_SIZE, TARGET_SIZE)
    assert torch.equal(read.candidates, learnt.candidates)
    assert torch.equal(read.frequent, learnt.frequent)
    assert read.target_size == TARGET_SIZE
    read.save(tmp_path / "again", DIGESTS)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "l").read_bytes()


def table(**changes):
    return torch.zeros(*changes.get("shape", (SOURCE_SIZE, 3)), dtype=changes.get("dtype", torch.int32))


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({"candidates": table(shape=(SOURCE_SIZE + 1, 3))}, "holds no table of 13 source pieces"),
        ({"candidates": table(shape=(SOURCE_SIZE,))}, "holds no table of 13 source pieces"),
        ({"candidates": table(shape=(SOURCE_SIZE, 0))}, "holds no table of 13 source pieces"),
        ({"candidates": table(shape=(SOURCE_SIZE, 21))}, "holds no table of 13 source pieces"),
        ({"candidates": table(dtype=torch.int64)}, "aren't ids of 11 target pieces"),
        ({"candidates": table(dtype=torch.float32)}, "aren't ids of 11 target pieces"),
        ({"candidates": table() - 1}, "aren't ids of 11 target pieces"),
        ({"candidates": table() + TARGET_SIZE + 1}, "aren't ids of 11 target pieces"),
        ({"frequent": table()}, "holds no table of 13 source pieces"),
        ({"frequent": table(shape=(TARGET_SIZE + 1,))}, "holds no table of 13 source pieces"),
        ({"frequent": table(shape=(2,), dtype=torch.int64)}, "aren't ids of 11 target pieces"),
        ({"frequent": table(shape=(2,)) - 1}, "aren't ids of 11 target pieces"),
        ({"frequent": table(shape=(2,)) + TARGET_SIZE}, "aren't ids of 11 target pieces"),
        ({"candidates": None}, "can't be read as a table"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, tensors, fault):
    whole = {"candidates": table(), "frequent": table(shape=(4,)), **tensors}
    save_file({name: tensor for name, tensor in whole.items() if tensor is not None}, tmp_path / "l", FACTS)
    with pytest.raises(CheckpointError, match=fault) as caught:
        Lexicon.load(tmp_path / "l", DIGESTS, SOURCE_SIZE, TARGET_SIZE)
    assert str(tmp_path / "l") in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64])
def test_no_file_of_tensors_is_refused(tmp_path, content):
    (tmp_path / "l").write_bytes(content)
    with pytest.raises(CheckpointError, match="can't be read as a table"):
        Lexicon.load(tmp_path / "l", DIGESTS, SOURCE_SIZE, TARGET_SIZE)


@pytest.mark.parametrize("facts", [None, {"tokenizers": "{}"}, {"tokenizers": FACTS["tokenizers"].replace("b", "c")}])
def test_a_table_of_other_pieces_is_refused(tmp_path, facts):
    save_file({"candidates": table(), "frequent": table(shape=(4,))}, tmp_path / "l", facts)
    with pytest.raises(CheckpointError, match="is of other tokenizers than the run's"):
        Lexicon.load(tmp_path / "l", DIGESTS, SOURCE_SIZE, TARGET_SIZE)
