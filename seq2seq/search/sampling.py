"""Sampling translations from the model, each sentence by a seed of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.grid import Grid
from seq2seq.search.constraints import Constraints
from seq2seq.search.decode import Beam, DecodeOptions, decode
from seq2seq.search.history import Choice, Hypothesis
from seq2seq.search.protocol import Model, SpecialIds, State


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(DecodeOptions):
    """Options of sample: temperature first, then top_k, then top_p."""

    samples: int = 1  # independent draws for each sentence
    temperature: float = 1.0  # below 1 sharpens, above 1 flattens
    top_k: int = 0  # draw from so many likeliest tokens; 0: from all
    top_p: float = 1.0  # draw from the fewest tokens with at least this mass

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} must be at least 1")
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be positive; for the likeliest token use top_k=1")
        if self.top_k < 0:
            raise ValueError(f"top_k={self.top_k} must be positive, or 0 for the whole vocabulary")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must be above 0 and at most 1")


def sample(
    model: Model[State],
    source: Tensor,
    lengths: Tensor,
    max_lengths: Tensor,
    options: SamplingOptions,
    special: SpecialIds,
    seeds: Sequence[int],
    prefixes: Sequence[Sequence[int]] | None = None,
    bias: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """Draw options.samples translations of each sentence, in the order of drawing; equal ones may occur.

    The random numbers are the sentence's own, from seeds[i], one per sample and step, so that a sample doesn't depend
    on its company. log_prob and score are those of beam_search, before temperature and filters: so log_prob is of the
    model's own distribution. Rules and shapes are those of beam_search too; the filters choose among what the rules
    leave, and a repetition penalty comes before the temperature.
    """
    constraints = Constraints(max_lengths, options.min_length, special, prefixes, options.repetition(), source.device)
    sampler = Sampler(options, _uniforms(seeds, constraints.max_lengths, options.samples).to(source.device))
    ended = decode(model, source, lengths, constraints, sampler, options, bias)
    return [[hypothesis for _, hypothesis in sorted(sentence, key=lambda end: end.slot)] for sentence in ended]


class Sampler:
    """Draws a token for each row by inverting the cumulative distribution at a given uniform number (T, B, K)."""

    reorders = False

    def __init__(self, options: SamplingOptions, uniforms: Tensor) -> None:
        self.slots = options.samples
        self.n_best = options.samples  # every draw counts: none is given up for another's score
        self.options = options
        self.uniforms = uniforms

    def first(self) -> list[float]:
        return [0.0] * self.slots

    def choose(self, log_probs: Tensor, beam: Beam, step: int, sentences: list[int], grid: Grid) -> Choice:
        mass, candidates = self._filtered(log_probs)  # (R, N)
        cumulative = mass.cumsum(dim=1)
        points = grid.rows(self.uniforms[step, sentences])[:, None] * cumulative[:, -1:]  # (R, 1)
        places = torch.searchsorted(cumulative, points, right=True).clamp(max=mass.shape[1] - 1)
        # Rounding may put a point on a token without mass; the likeliest token then.
        places = torch.where(mass.gather(1, places) > 0, places, mass.argmax(dim=1, keepdim=True))

        tokens = candidates.gather(1, places)  # (R, 1)
        slots = torch.arange(self.slots, device=tokens.device)
        return Choice(
            totals=beam.totals + grid.spread(log_probs.gather(1, tokens).squeeze(1), -torch.inf),
            tokens=grid.spread(tokens.squeeze(1)),
            parents=slots.expand(len(sentences), -1),
        )

    def _filtered(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Probability mass (R, N) after the filters, not renormalised after top_p, and the tokens that have it."""
        vocabulary_size = log_probs.shape[1]
        if self.options.top_k == 0 and self.options.top_p == 1:  # the order doesn't matter
            everything = torch.arange(vocabulary_size, device=log_probs.device).expand_as(log_probs)
            return (log_probs / self.options.temperature).softmax(dim=1), everything
        size = min(self.options.top_k or vocabulary_size, vocabulary_size)
        values, tokens = log_probs.topk(size, dim=1)  # falling
        mass = (values / self.options.temperature).softmax(dim=1)
        before = mass.cumsum(dim=1).roll(1, dims=1)  # mass of all likelier tokens
        before[:, 0] = 0
        return mass.masked_fill(before >= self.options.top_p, 0), tokens


def _uniforms(seeds: Sequence[int], max_lengths: list[int], samples: int) -> Tensor:
    """Uniform numbers (T, B, K) from each sentence's own generator, drawn on the CPU to be the same anywhere."""
    draws = [
        torch.rand(max_length, samples, generator=torch.Generator().manual_seed(seed))
        for seed, max_length in zip(seeds, max_lengths, strict=True)
    ]
    return pad_sequence(draws) if draws else torch.empty(0, 0, samples)
