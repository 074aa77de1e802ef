"""Encoding blocks, and the sample that tokenizers learn from."""

import pickle
import random
from collections import Counter
from pathlib import Path

import pytest

from seq2seq.data import lines as lines_module
from seq2seq.data.encode import Encoder, TokenizerTraining
from seq2seq.data.text import TrainingText, survey
from seq2seq.options import TokenizerConfig
from seq2seq.text import tokenizer as tokenizer_module
from seq2seq.text.pair import TokenizerPair

COUNT = 30


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingText:
    """Pairs of one character a side, all different, and blank ones between them."""
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 15)
    for name, first in (("de", 0x4E00), ("en", 0x5E00)):
        lines = "".join(f"{chr(first + i)}\n\n" for i in range(COUNT))
        (tmp_path / f"x.{name}").write_text(lines, encoding="utf-8")
    return survey([f"{tmp_path}/x"], "de", "en", set()).text


def test_blocks_are_encoded_as_their_lines_are(text: TrainingText) -> None:
    pair = TokenizerPair.train(["一"], ["帀"], shared=False, model_type="char", vocab_size="auto")
    encoder = pickle.loads(pickle.dumps(Encoder(pair, None, threads=1)))  # as a process gets it
    assert not encoder.tokenizers.shared
    parts = [encoder(block) for block in text.blocks()]
    assert len(parts) > 5
    for side, (tokenizer, first) in enumerate(((pair.source, 0x4E00), (pair.target, 0x5E00))):
        ids = [tokenizer.encode(chr(first + i)) for i in range(COUNT)]
        names = (("source", "source_lengths"), ("target", "target_lengths"))[side]
        assert [i for part in parts for i in getattr(part, names[0])] == [i for line in ids for i in line]
        assert [length for part in parts for length in getattr(part, names[1])] == [len(line) for line in ids]


def test_a_shared_tokenizer_stays_shared_in_a_process() -> None:
    pair = TokenizerPair.train(["ab"], ["cd"], shared=True, model_type="char", vocab_size="auto")
    copy = pickle.loads(pickle.dumps(pair))
    assert copy.shared
    assert copy.source.digest == pair.source.digest


def test_pairs_too_long_on_either_side_are_dropped_and_counted() -> None:
    pair = TokenizerPair.train(["abc"], ["abc"], shared=True, model_type="char", vocab_size="auto")
    encoded = Encoder(pair, 4, threads=1).encode(["abc", "abcc", "a", "ab"], ["ab", "a", "abca", "abc"])
    assert encoded.too_long == 2
    assert encoded.source_lengths.tolist() == [4, 3]  # one piece more than characters
    assert encoded.target_lengths.tolist() == [3, 4]
    assert encoded.counts() == Counter({(4, 3): 1, (3, 4): 1})


def test_a_small_text_is_learnt_from_whole(text: TrainingText) -> None:
    sources = [chr(0x4E00 + i) for i in range(COUNT)]
    targets = [chr(0x5E00 + i) for i in range(COUNT)]
    for shared in (True, False):
        assert TokenizerTraining(TokenizerConfig(shared=shared), 1).sample(text) == (sources, targets)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_large_text_is_sampled_as_if_it_were_held(
    text: TrainingText, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(tokenizer_module, "SAMPLED_LINES", 11)
    sources = [chr(0x4E00 + i) for i in range(COUNT)]
    targets = [chr(0x5E00 + i) for i in range(COUNT)]
    together = [*sources, *targets]
    drawn = [together[i] for i in sorted(random.Random(seed).sample(range(2 * COUNT), 11))]
    found = TokenizerTraining(TokenizerConfig(shared=True), seed).sample(text)
    assert [*found[0], *found[1]] == drawn
    assert set(found[0]) <= set(sources)
    numbers = sorted(random.Random(seed).sample(range(COUNT), 11))
    each = TokenizerTraining(TokenizerConfig(shared=False), seed).sample(text)
    assert each == ([sources[i] for i in numbers], [targets[i] for i in numbers])


def test_long_lines_make_a_smaller_sample(text: TrainingText, monkeypatch: pytest.MonkeyPatch) -> None:
    assert text.size == COUNT * 2 * (4 + 1)  # a character and two line ends a side
    monkeypatch.setattr(tokenizer_module, "SAMPLED_BYTES", 45)
    found = TokenizerTraining(TokenizerConfig(shared=True), 1).sample(text)
    assert len(found[0]) + len(found[1]) == 45 / 2.5
