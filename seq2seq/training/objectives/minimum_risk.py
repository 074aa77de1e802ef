"""Sampled translations, compared by their BLEU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.data.batch import Batch
from seq2seq.data.lengths import LengthLimit
from seq2seq.evaluation.searching import special_ids
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options.objective import MinimumRiskConfig
from seq2seq.search.protocol import NoTranslationError
from seq2seq.search.sampling import SamplingOptions, sample
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.loss import Loss, output_loss, token_nll

LARGEST_SEED = 2**62


class Candidates(NamedTuple):
    """Translations to compare, one a row; the first B rows are the references of the B sentences."""

    rows: Batch  # R translations, each with its source
    places: Tensor  # (B, C) rows of each sentence's candidates; any row where there is none
    real: Tensor  # (B, C) whether there is one
    costs: Tensor  # (B, C) 1 - BLEU


class MinimumRisk:
    """Minimum risk training (Shen et al. 2016, section 3) with 1 - sentence BLEU as the cost.

    The risk of a sentence is the expected cost of its candidates y: sum_y Q(y) (1 - BLEU(y)), where Q(y) is
    proportional to P(y | x)^alpha among them. Candidates are sampled anew in each update, from the model without
    dropout; equal ones count once, and the reference is one of them by option. They are scored with dropout on.

    BLEU is of detokenised text under the run's `metric` options, with 1 added to the counts of 2-grams and longer (Lin
    & Och 2004). The paper sums the risks of sentences; here each counts by the length of its reference, so that the
    loss is a mean over tokens, to which `cross_entropy_weight` times the cross entropy a token is added (a mixture as
    in Wu et al. 2016, section 5). Perplexity is that of the references.
    """

    def __init__(
        self,
        options: MinimumRiskConfig,
        label_smoothing: float,
        bleu: Callable[[str, str], float],
        target: Tokenizer,
        limit: LengthLimit,
        max_length: int,
    ) -> None:
        """`bleu` of a text and its reference, 0 to 1; samples are as long as `limit` and max_length let them."""
        self.options, self.label_smoothing, self.bleu = options, label_smoothing, bleu
        self.target, self.limit, self.max_length = target, limit, max_length
        self.special = special_ids(target)
        self.sampling = SamplingOptions(samples=options.samples)

    @property
    def meaning(self) -> str:
        weight = self.options.cross_entropy_weight
        return "the expected 1 - BLEU of sampled translations" + (f" + {weight:g} * cross entropy" if weight else "")

    def __call__(self, model: Seq2Seq, batch: Batch, update: int) -> Loss:
        return self.risk(model, self.candidates(batch, self._drawn(model, batch)))

    def risk(self, model: Seq2Seq, candidates: Candidates) -> Loss:
        """The loss of these candidates."""
        rows, sentences = candidates.rows, len(candidates.places)
        mask = rows.target_mask
        features = model(rows.source, rows.source_lengths, rows.target_input, mask).features  # (N, F)
        gold = rows.target_output[mask]
        nll = token_nll(features, model.output, gold)  # (N,)
        log_probs = -nll.new_zeros(mask.shape).masked_scatter(mask, nll).sum(1)  # (R,)
        energies = (self.options.alpha * log_probs[candidates.places]).masked_fill(~candidates.real, -torch.inf)
        risks = (energies.softmax(1) * candidates.costs).sum(1)  # (B,)
        lengths = rows.target_lengths[:sentences].to(risks.device)
        of_references = int(rows.target_lengths[:sentences].sum())  # tokens, the first of the N
        trained = (lengths * risks).sum()
        weight = self.options.cross_entropy_weight
        if weight:
            entropy = output_loss(features[:of_references], model.output, gold[:of_references], self.label_smoothing)
            trained = trained + weight * entropy.trained
        return Loss(trained, nll[:of_references].detach().sum())

    def candidates(self, batch: Batch, drawn: Sequence[Sequence[Sequence[int]]]) -> Candidates:
        """The references and what was drawn for each sentence, equal ones once; none with its EOS."""
        ids = batch.target_output.tolist()
        references = [row[: length - 1] for row, length in zip(ids, batch.target_lengths.tolist(), strict=True)]
        translations, sources, places = list(references), list(range(len(references))), []
        costs = []
        for i, (reference, samples) in enumerate(zip(references, drawn, strict=True)):
            unique = {tuple(tokens): None for tokens in samples}
            own = []
            if self.options.reference:
                unique.pop(tuple(reference), None)
                own.append(i)
            own += range(len(translations), len(translations) + len(unique))
            translations += map(list, unique)
            sources += [i] * len(unique)
            places.append(torch.tensor(own, dtype=torch.long))
            text = self.target.decode(reference)
            costs.append(torch.tensor([1 - self.bleu(self.target.decode(translations[row]), text) for row in own]))
        device = batch.source.device
        return Candidates(
            self._rows(batch, translations, sources),
            pad_sequence(places, batch_first=True).to(device),
            pad_sequence([torch.ones_like(own, dtype=torch.bool) for own in places], batch_first=True).to(device),
            pad_sequence(costs, batch_first=True).to(device),
        )

    def _drawn(self, model: Seq2Seq, batch: Batch) -> list[list[list[int]]]:
        """Sampled translations of each sentence, by seeds from torch's generator of the CPU."""
        longest = self.max_length if model.longest_target is None else min(self.max_length, model.longest_target)
        limits = self.limit.limits(batch.source_lengths - 1, longest)
        seeds = torch.randint(LARGEST_SEED, (len(limits),)).tolist()
        training = model.training
        model.eval()
        try:
            found = sample(model, batch.source, batch.source_lengths, limits, self.sampling, self.special, seeds)
        except NoTranslationError:  # nor will the loss be a number, so that the update is skipped
            return [[] for _ in seeds]
        finally:
            model.train(training)
            torch.clear_autocast_cache()  # it holds weights that were cast without gradient
        return [[hypothesis.tokens for hypothesis in sentence] for sentence in found]

    def _rows(self, batch: Batch, translations: Sequence[list[int]], sources: Sequence[int]) -> Batch:
        """Translations of these sentences of the batch as pairs of their own."""
        bos, eos, pad, device = self.target.bos_id, self.target.eos_id, self.target.pad_id, batch.source.device

        def padded(rows: list[Tensor]) -> Tensor:
            return pad_sequence(rows, batch_first=True, padding_value=pad).to(device)

        of = torch.tensor(sources)
        return Batch(
            batch.source[of.to(device)],
            batch.source_lengths[of],
            padded([torch.tensor([bos, *tokens]) for tokens in translations]),
            padded([torch.tensor([*tokens, eos]) for tokens in translations]),
            torch.tensor([len(tokens) + 1 for tokens in translations]),
        )
