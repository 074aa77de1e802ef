"""The search that a SearchConfig stands for, on a batch of sentences that are ready for it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from seq2seq.combinations import search_faults
from seq2seq.config import checked
from seq2seq.data.lexicon import Lexicon
from seq2seq.errors import ConfigError
from seq2seq.options import SearchConfig
from seq2seq.runs import RunFolder
from seq2seq.search import beam, sampling
from seq2seq.search.history import Hypothesis
from seq2seq.search.protocol import Model, SpecialIds, State
from seq2seq.text.pair import TokenizerPair
from seq2seq.text.tokenizer import Tokenizer


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
    searched = beam.SearchOptions(
        beam_size=options.beam_size, threshold=options.beam_threshold, n_best=n_best, **shared
    )
    return beam.beam_search(model, source, lengths, limits, searched, special, prefixes, bias)


def special_ids(target: Tokenizer) -> SpecialIds:
    """Those of a target's vocabulary; padding, openings and unknown pieces are never generated."""
    never = {target.pad_id, target.bos_id, target.unk_id} - {target.eos_id}
    return SpecialIds(target.bos_id, target.eos_id, sorted(never))


def override(search: SearchConfig, changes: Mapping[str, Any]) -> SearchConfig:
    """`search` with some options changed, through the strict constructor.

    Raises:
        ConfigError: unknown or impossible options.
    """
    return checked(SearchConfig, {**dataclasses.asdict(search), **changes}, search_faults, where="search")


def check_search(options: SearchConfig, attends: bool, lexicon: Lexicon | None) -> None:
    """ConfigError where a model can't be searched with these options, as it attends or not."""
    if options.coverage_penalty > 0 and not attends:
        raise ConfigError(
            f"search.coverage_penalty={options.coverage_penalty} needs attention weights, but this model has no "
            "attention; set search.coverage_penalty=0"
        )
    if options.shortlist > 0 and lexicon is None:
        raise ConfigError(f"search.shortlist={options.shortlist} needs a lexicon, and none is given")


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


def line_seed(seed: int, line: str) -> int:
    """A seed of the line's own, so that its samples don't depend on its company."""
    return int.from_bytes(hashlib.sha256(f"{seed} {line}".encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
