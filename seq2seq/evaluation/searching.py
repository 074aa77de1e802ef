"""The search that a SearchConfig stands for, on a batch of sentences that are ready for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from seq2seq.data.lexicon import Lexicon
from seq2seq.errors import ConfigError
from seq2seq.options import SearchConfig
from seq2seq.runs import RunFolder
from seq2seq.search import beam, sampling
from seq2seq.search.history import Hypothesis
from seq2seq.search.protocol import Model, SpecialIds, State
from seq2seq.text.tokenizer import TokenizerPair


class Sentences(NamedTuple):
    """A batch to translate; what is None, no sentence has."""

    source: Tensor  # (B, S), on the model's device
    lengths: Tensor  # (B,), on the CPU
    limits: Tensor  # (B,) the most target tokens with EOS
    seeds: Sequence[int]  # of sampling
    prefixes: Sequence[Sequence[int]] | None
    bias: Tensor | None  # (B, S) on the scores of attention


def find(
    model: Model[State], sentences: Sentences, options: SearchConfig, special: SpecialIds, attention: bool
) -> list[list[Hypothesis]]:
    """What beam search or sampling finds for each sentence; see there."""
    source, lengths, limits, seeds, prefixes, bias = sentences
    shared: dict[str, Any] = {
        "length_penalty": options.length_penalty,
        "length_alpha": options.length_alpha,
        "coverage_penalty": options.coverage_penalty,
        "min_length": options.min_length,
        "block_ngram": options.block_ngram,
        "repetition_penalty": options.repetition_penalty,
        "return_attention": attention,
    }
    if options.sample:
        sampled = sampling.SamplingOptions(
            samples=options.n_best,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            **shared,
        )
        return sampling.sample(model, source, lengths, limits, sampled, special, seeds, prefixes, bias)
    # Texts may coincide, so that an n-best list is picked from all that the beam can find.
    n_best = 1 if options.n_best == 1 else options.beam_size
    searched = beam.SearchOptions(beam_size=options.beam_size, n_best=n_best, **shared)
    return beam.beam_search(model, source, lengths, limits, searched, special, prefixes, bias)


def needed_lexicon(options: SearchConfig, folder: RunFolder, tokenizers: TokenizerPair) -> Lexicon | None:
    """The run's lexicon where search.shortlist asks for it.

    Raises:
        ConfigError: the run has none.
        CheckpointError: it is damaged, or another run's.
    """
    if options.shortlist == 0:
        return None
    if not folder.lexicon.is_file():
        raise ConfigError(
            f"search.shortlist={options.shortlist} needs {folder.lexicon}, which train.py writes at its end; "
            f"get it by seq2seq-train run={folder.path} resume=auto, or set search.shortlist=0"
        )
    source, target = tokenizers.source, tokenizers.target
    return Lexicon.load(folder.lexicon, tokenizers.digests, source.vocab_size, target.vocab_size)
