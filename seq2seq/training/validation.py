"""Validation: loss and attention on the references, and BLEU by the search that the final test uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from seq2seq.data.batch import collate
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.sampler import sorted_batches
from seq2seq.data.text import ParallelText
from seq2seq.errors import TrainingError
from seq2seq.evaluation.diagnostics import AttentionMeter, Diagnostics
from seq2seq.evaluation.metrics import corpus_bleu
from seq2seq.evaluation.translation import Translation
from seq2seq.evaluation.translator import Translator
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options import MetricConfig
from seq2seq.runtime import Runtime, out_of_memory
from seq2seq.text.pair import TokenizerPair
from seq2seq.training.loss import batch_loss

Measure = Literal["loss", "perplexity", "bleu"]


@dataclass(frozen=True)
class Scores:
    """One validation: loss is the negative log-likelihood a target token, EOS counted, never smoothed.

    attention is that on the references; None without attention.
    """

    loss: float
    perplexity: float
    bleu: float
    attention: Diagnostics | None

    def to_minimise(self, measure: Measure) -> float:
        value: float = getattr(self, measure)
        return -value if measure == "bleu" else value

    @property
    def finite(self) -> bool:
        """Whether the loss is a number: otherwise the weights are no use, whatever BLEU says."""
        return math.isfinite(self.loss)

    def numbers(self) -> dict[str, float]:
        """All of them, by name."""
        attention = {} if self.attention is None else self.attention.numbers()
        return {"loss": self.loss, "perplexity": self.perplexity, "bleu": self.bleu, **attention}

    def __str__(self) -> str:
        text = f"loss {self.loss:.4f} perplexity {self.perplexity:.3f} BLEU {self.bleu:.2f}"
        if self.attention is None:
            return text
        entropy, _, coverage, monotonicity = self.attention
        return f"{text} attention: entropy {entropy:.2f} coverage {coverage:.2f} monotonicity {monotonicity:.2f}"


@contextmanager
def room_for_search(batch_size: int) -> Iterator[None]:
    """Around a search: TrainingError with the way out where memory has no room for so many sentences at once."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(
            f"memory has no room to translate {batch_size} sentences at once; set a smaller trainer.translate_batch "
            "or search.beam_size, and go on with resume=auto"
        ) from error


class Validator:
    """Scores a model on the validation set."""

    def __init__(
        self,
        text: ParallelText,
        corpus: EncodedCorpus,
        translator: Translator,
        runtime: Runtime,
        metric: MetricConfig,
        batch_size: int,
    ) -> None:
        self.text, self.corpus, self.translator = text, corpus, translator
        self.runtime, self.metric, self.batch_size = runtime, metric, batch_size

    def validate(self, model: Seq2Seq) -> Scores:
        """Loss in the training's precision, BLEU in the final search's; none where the model can't be searched."""
        loss, attention = forced(model, self.corpus, self.translator.tokenizers, self.runtime, self.batch_size)
        if not math.isfinite(loss):
            return Scores(loss, loss, math.nan, None)
        translations = self.translator.translate(self.text.source, batch_size=self.batch_size)
        bleu = corpus_bleu([t.text for t in translations], self.text.target, self.metric)
        return Scores(round(loss, 6), round(math.exp(min(loss, 700)), 4), round(bleu, 4), attention)

    def samples(self, count: int) -> list[Sample]:
        """The first `count` sentences, to watch as they change."""
        sources, references = self.text.source[:count], self.text.target[:count]
        translations = self.translator.translate(sources, batch_size=self.batch_size, attention=True)
        return [Sample(*pair) for pair in zip(references, translations, strict=True)]


class Sample(NamedTuple):
    """A sentence of the validation set as the model translates it, with its attention, and the reference."""

    reference: str
    translation: Translation


class Forced(NamedTuple):
    """What a model makes of given translations: the mean negative log-likelihood of their tokens, and its attention."""

    loss: float
    attention: Diagnostics | None


@torch.inference_mode()
def forced(
    model: Seq2Seq, corpus: EncodedCorpus, tokenizers: TokenizerPair, runtime: Runtime, batch_size: int
) -> Forced:
    """Over the corpus's target tokens, EOS counted; the exponential of the loss is the perplexity."""
    model.eval()
    total, tokens, meter = 0.0, 0, AttentionMeter()
    for rows in sorted_batches(corpus.target_lengths, batch_size):
        batch = collate(corpus, rows, tokenizers).to(runtime.device)
        with runtime.autocast():
            loss, weights = batch_loss(model, batch, label_smoothing=0.0)
        if weights is not None:
            meter.add(weights, batch.source_lengths, batch.target_lengths)
        total += float(loss.nll)
        tokens += batch.target_tokens
    return Forced(total / tokens, meter.read())
