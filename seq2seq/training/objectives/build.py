"""An objective's options to the objective: one function a name."""

from __future__ import annotations

from collections.abc import Callable

from seq2seq.config import Config
from seq2seq.data.lengths import LengthLimit
from seq2seq.evaluation.metrics import smoothed_bleu
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.objectives.cross_entropy import CrossEntropy
from seq2seq.training.objectives.minimum_risk import MinimumRisk
from seq2seq.training.objectives.objective import Objective
from seq2seq.training.objectives.r_drop import RDrop
from seq2seq.training.objectives.scheduled_sampling import PICKERS, ScheduledSampling, increasing


def build_objective(config: Config, target: Tokenizer, limit: LengthLimit) -> Objective:
    """The config's objective, for targets that this tokenizer has cut, and samples of lengths within this limit.

    Raises:
        ConfigError: `metric.tokenize` needs a package that isn't installed.
    """
    return OBJECTIVES[config.objective.name](config, target, limit)


def _cross_entropy(config: Config, target: Tokenizer, limit: LengthLimit) -> Objective:
    return CrossEntropy(config.trainer.label_smoothing, config.attention.coverage_loss)


def _r_drop(config: Config, target: Tokenizer, limit: LengthLimit) -> Objective:
    return RDrop(config.trainer.label_smoothing, config.attention.coverage_loss, config.objective.alpha)


def _scheduled_sampling(config: Config, target: Tokenizer, limit: LengthLimit) -> Objective:
    options = config.objective
    return ScheduledSampling(
        config.trainer.label_smoothing,
        config.attention.coverage_loss,
        increasing(options.probability, options.schedule, options.half_updates),
        PICKERS[options.predictions],
    )


def _minimum_risk(config: Config, target: Tokenizer, limit: LengthLimit) -> Objective:
    bleu, longest = smoothed_bleu(config.metric), config.search.max_length
    return MinimumRisk(config.objective, config.trainer.label_smoothing, bleu, target, limit, longest)


# objective=NAME -> its builder
OBJECTIVES: dict[str, Callable[[Config, Tokenizer, LengthLimit], Objective]] = {
    "cross_entropy": _cross_entropy,
    "r_drop": _r_drop,
    "scheduled_sampling": _scheduled_sampling,
    "minimum_risk": _minimum_risk,
}
