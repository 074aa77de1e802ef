"""Attention's options to its modules: one line a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import torch
from torch import nn

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.models.attention import Attention, Treatment
from seq2seq.models.build.parts import glorot
from seq2seq.models.coverage import Coverage, LinguisticCoverage, NeuralCoverage
from seq2seq.models.dropout import Dropout
from seq2seq.models.multi_head import MultiHeadAttention
from seq2seq.models.normalizers import NORMALIZERS
from seq2seq.models.priors import BandPrior, BeginningPrior, DiagonalPrior, EndPrior, OwnPrior, Prior, PriorSum
from seq2seq.models.scores import (
    ACTIVATIONS,
    AdditiveScore,
    CosineScore,
    DotScore,
    GeneralScore,
    LocationScore,
    MultiHeadScore,
    NormedAdditiveScore,
    ScaledDotScore,
    ScaledGeneralScore,
    Score,
)
from seq2seq.models.windows import GlobalWindow, MonotonicWindow, PredictiveWindow, Window
from seq2seq.options import AttentionConfig
from seq2seq.options.base import resolve
from seq2seq.schema import COMPONENTS

F = TypeVar("F", bound=Callable[[Any, int, int], Score])


def _additive(options: Any, query: int, memory: int) -> Score:
    return AdditiveScore(query, memory, resolve(options.key_size, query), ACTIVATIONS[options.activation])


def _normed(options: Any, query: int, memory: int) -> Score:
    return NormedAdditiveScore(query, memory, resolve(options.key_size, query), ACTIVATIONS[options.activation])


def _heads(options: Any, query: int, memory: int) -> Score:
    key_size = resolve(options.key_size, query)
    build = HEAD_SCORES[options.head_score]
    heads = [build(options, key_size // options.num_heads) for _ in range(options.num_heads)]
    return MultiHeadScore(query, memory, key_size, heads)


# attention=NAME -> its score, built from its options, the size of the query and the size of the memory
SCORES: dict[str, Callable[[Any, int, int], Score]] = {
    "bahdanau": _additive,
    "bahdanau_normed": _normed,
    "luong_dot": lambda options, query, memory: DotScore(),
    "luong_general": lambda options, query, memory: GeneralScore(query, memory),
    "luong_concat": _additive,
    "luong_location": lambda options, query, memory: LocationScore(query, options.max_source_length),
    "scaled_dot": lambda options, query, memory: ScaledDotScore(),
    "scaled_general": lambda options, query, memory: ScaledGeneralScore(query, memory),
    "cosine": lambda options, query, memory: CosineScore(),
    "multi_head": _heads,
}
OWN: set[str] = set()  # the names that `register` has added
# attention.head_score=NAME -> the score of one head, built from the options and the head's size
HEAD_SCORES: dict[str, Callable[[Any, int], Score]] = {
    "dot": lambda options, size: DotScore(),
    "scaled_dot": lambda options, size: ScaledDotScore(),
    "general": lambda options, size: GeneralScore(size, size),
    "additive": lambda options, size: AdditiveScore(size, size, size, ACTIVATIONS[options.activation]),
}
WINDOWS: dict[str, Callable[[Any, int], Window]] = {
    "none": lambda options, query: GlobalWindow(),
    "local_m": lambda options, query: MonotonicWindow(options.window_size),
    "local_p": lambda options, query: PredictiveWindow(query, options.window_size),
}
PRIORS: dict[str, Callable[[float, float, float], Prior]] = {
    "beginning": BeginningPrior,
    "end": EndPrior,
    "diagonal": DiagonalPrior,
    "band": BandPrior,
}
# attention.coverage=NAME -> built from the options, the sizes of the keys, the memory and the query
COVERAGES: dict[str, Callable[[Any, int, int, int], Coverage]] = {
    "linguistic": lambda options, key, memory, query: LinguisticCoverage(key, memory, options.max_fertility),
    "neural": lambda options, key, memory, query: NeuralCoverage(key, memory, query, options.coverage_size),
}


def register(name: str, options: type[Any]) -> Callable[[F], F]:
    """Adds `attention=NAME`: `options` is its dataclass, the decorated callable makes its score.

    It is called with (options, query_size, memory_size). Windows, priors, coverage and the rest go with it as with the
    scores that ship.

    Raises:
        ConfigError: the name is taken, or the options aren't those of an attention.
    """
    if name in COMPONENTS["attention"]:
        raise ConfigError(f"attention={name} exists already; register yours under another name")
    if not (isinstance(options, type) and issubclass(options, AttentionConfig)):
        raise ConfigError(
            f"attention={name}: its options must be a dataclass that derives from seq2seq.AttentionConfig"
        )
    missing = [field.name for field in fields(options) if field.default is MISSING and field.default_factory is MISSING]
    if missing:
        raise ConfigError(f"attention={name}: give {options.__name__}.{missing[0]} a default, as every option has one")

    def add(build: F) -> F:
        COMPONENTS["attention"][name] = options
        SCORES[name] = build
        OWN.add(name)
        return build

    return add


def build_attention(config: Config) -> Attention:
    """The attention of a config whose query is its decoder's state."""
    options, query_size, memory_size = config.attention, config.decoder_size, config.encoder_size
    score = SCORES[options.name](options, query_size, memory_size)
    build: Callable[[Any, Any, int, int], Attention] = ATTENTIONS.get(options.name, _single)
    attention = build(options, score, query_size, memory_size)
    for part in attention.children():
        if part is not score or options.name not in OWN:  # whoever registers a score draws its weights
            glorot(part)
    return attention


def _single(options: Any, score: Score, query_size: int, memory_size: int) -> Attention:
    context_size = resolve(options.value_size, memory_size)
    own_values = options.value_size != "auto"
    projection = nn.Linear(memory_size, context_size, bias=False) if own_values else None
    return Attention(score, _treatment(options, score, query_size, memory_size, projection), context_size)


def _multi_head(options: Any, score: MultiHeadScore, query_size: int, memory_size: int) -> Attention:
    value_size = resolve(options.value_size, query_size)
    projection = nn.Linear(memory_size, value_size, bias=False)
    treatment = _treatment(options, score, query_size, memory_size, projection)
    return MultiHeadAttention(score, treatment, value_size, query_size)


# Attentions that are more than a score; built from the options, the score, and the sizes of the query and the memory
ATTENTIONS: dict[str, Callable[[Any, Any, int, int], Attention]] = {"multi_head": _multi_head}


def _treatment(
    options: Any, score: Score, query_size: int, memory_size: int, projection: nn.Linear | None
) -> Treatment:
    coverage = None
    if options.coverage != "none":
        key_size = score.project(torch.zeros(1, 1, memory_size)).shape[-1]
        coverage = COVERAGES[options.coverage](options, key_size, memory_size, query_size)
    return Treatment(
        NORMALIZERS[options.normalizer],
        WINDOWS[options.window](options, query_size),
        _prior(options),
        coverage,
        projection,
        Dropout(options.dropout),
        options.temperature,
    )


def _prior(options: Any) -> Prior | None:
    slope = 1.0 if options.prior_slope == "auto" else options.prior_slope
    priors: list[Prior] = []
    if options.prior != "none":
        priors.append(PRIORS[options.prior](options.prior_strength, options.prior_width, slope))
    if options.prior_weights:
        priors.append(OwnPrior(options.prior_weights))
    if not priors:
        return None
    return priors[0] if len(priors) == 1 else PriorSum(priors)
