"""What a translator gives back: translations, their hypotheses, and scored pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from torch import Tensor

from seq2seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    from seq2seq.plotting.figures.saving import Figure

Units = Literal["words", "pieces"]
EOS = "</s>"  # how the end of sentence is shown among pieces


@dataclass(frozen=True)
class Translation:
    """A line's translation: its best hypothesis, and all that were asked for, best first and unique by text."""

    source: str
    source_tokens: list[str]  # with EOS at the end
    hypotheses: list[Hypothesis]

    @property
    def text(self) -> str:
        return self.hypotheses[0].text

    @property
    def score(self) -> float:
        return self.hypotheses[0].score

    @property
    def log_prob(self) -> float:
        return self.hypotheses[0].log_prob

    @property
    def tokens(self) -> list[str]:
        return self.hypotheses[0].tokens

    @property
    def attention(self) -> Tensor | None:
        return self.hypotheses[0].attention

    def attention_map(self, hypothesis: int = 0, units: Units = "words") -> AttentionMap:
        """Where each target word of one of the `hypotheses` looked, the end of sentence last on both sides.

        units: pieces, or the words that they make, by `seq2seq.evaluation.words.merged`; scripts that are written
            without spaces are parted into pieces all the same.

        Raises:
            ConfigError: there are no attention weights, or no such units.
            DataError: of a blank line.
        """
        if units not in get_args(Units):
            raise ConfigError(f"units={units} is not allowed: it must be one of {', '.join(get_args(Units))}")
        from seq2seq.evaluation.words import Words, merged

        chosen = self.hypotheses[hypothesis]
        if self.source_tokens == [EOS]:
            raise DataError("a blank line is not translated: it has no attention")
        if chosen.attention is None:
            raise ConfigError("no attention weights here: translate with attention=True, by a model with attention")
        pieces = AttentionMap(chosen.attention, [*chosen.tokens, EOS], self.source_tokens)
        if units == "pieces":
            return pieces
        target, source = Words.of(pieces.target, unspaced=True), Words.of(pieces.source, unspaced=True)
        return AttentionMap(merged(pieces.weights, target, source), target.texts, source.texts)

    def plot(self, output: str | Path | None = None, hypothesis: int = 0, units: Units = "words") -> Figure:
        """A heat map of `attention_map`, as matplotlib's Figure, and in the file `output`.

        output: a name that ends in .png, .svg or .pdf; its folder is made where it isn't there.

        Raises:
            ConfigError: without matplotlib, without attention weights, or where the file can't be written.
            DataError: of a blank line.
        """
        from seq2seq.plotting.figures.heatmap import heatmap
        from seq2seq.plotting.figures.saving import check_name, save

        if output is not None:
            check_name(output)
        weights, target, source = self.attention_map(hypothesis, units)
        title = f"hypothesis {hypothesis + 1}: {self.hypotheses[hypothesis].text}" if hypothesis else ""
        figure = heatmap(weights.float().numpy(), target, source, title)
        if output is not None:
            save(figure, output)
        return figure


class AttentionMap(NamedTuple):
    """Weights (T, S) from target words or pieces to those of the source, and how these read."""

    weights: Tensor
    target: list[str]
    source: list[str]


@dataclass(frozen=True)
class Hypothesis:
    """One translation of a line. Logarithms are natural, and EOS counts.

    score: what hypotheses are ranked by: the log-probability, each token's repetition penalty in it, normalised by
        length, and the coverage penalty; without these two, log_prob / length^alpha or the like.
    log_prob: the model's own, as `Translator.score` gives it.
    attention: (T, S) on the CPU, a row for each of `tokens` and a last one for EOS, a column for each of the
        translation's `source_tokens`; None when not asked for, or without attention.
    """

    text: str
    score: float
    log_prob: float
    tokens: list[str]
    attention: Tensor | None = None


@dataclass(frozen=True)
class ScoredPair:
    """The model's log-probability of a given translation: of each token and of EOS, and their sum."""

    log_prob: float
    token_log_probs: list[float]
    tokens: list[str]  # with EOS at the end
    source_tokens: list[str]
    attention: Tensor | None = None  # (T, S), as in Hypothesis
