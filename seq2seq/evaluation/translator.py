"""Raw text in, raw text out: a trained model as `Translator.load(folder).translate(lines)`."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seq2seq.checkpoints import Which
from seq2seq.data.batch import collate, source_batch
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.lengths import LargestLimit, Limits
from seq2seq.data.lexicon import Lexicon
from seq2seq.data.sampler import sorted_batches
from seq2seq.data.text import ParallelText
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.evaluation.members import Members
from seq2seq.evaluation.saved import Saved
from seq2seq.evaluation.searching import Sentences, check_search, find, line_seed, needed_lexicon, override, special_ids
from seq2seq.evaluation.source import Source, check_pieces, one_line, padded_bias
from seq2seq.evaluation.spreading import Later, spread
from seq2seq.evaluation.translation import EOS, Hypothesis, ScoredPair, Translation
from seq2seq.models.int8 import quantized
from seq2seq.models.packed import can_pack, packed
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options import Auto, RuntimeConfig, SearchConfig
from seq2seq.processes import Crew
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime
from seq2seq.search.history import Hypothesis as Found
from seq2seq.search.protocol import NoTranslationError
from seq2seq.search.shortlist import Shortlist
from seq2seq.text.pair import TokenizerPair


class Translator:
    """A model, or several as an ensemble, with tokenizers and search.

    What it gives for a line doesn't depend on the lines beside it.
    """

    def __init__(
        self,
        model: Seq2Seq,
        tokenizers: TokenizerPair,
        limit: Limits,
        search: SearchConfig,
        runtime: Runtime,
        lexicon: Lexicon | None = None,
        others: Sequence[Seq2Seq] = (),
    ) -> None:
        """`others` are the further members of an ensemble, of the same vocabulary as `model`."""
        models = [model, *others]
        self.members = Members([quantized(one) for one in models] if runtime.precision == "int8" else models)
        self.model = self.members.models[0]
        self.tokenizers, self.limit = tokenizers, limit
        self.search, self.runtime, self.lexicon = search, runtime, lexicon
        check_search(search, self.members.attends, lexicon)
        self.special = special_ids(tokenizers.target)
        self.crew: Crew | Later | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path | Sequence[str | Path],
        *,
        checkpoint: Which = "best",
        search: Mapping[str, Any] | None = None,
        runtime: RuntimeConfig | None = None,
    ) -> Translator:
        """The translator of a run's folder, or the ensemble of several, from the files in it alone.

        Args:
            folder: what train.py left; a list of them for an ensemble (see search/ensemble.py), whose members share
                their tokenizer. Search options and the lexicon are the first one's, the length limit is the largest.
            checkpoint: of each the best one by validation, the last, or the average of the best that are kept.
            search: search options that differ from the run's own, such as {"beam_size": 1}.
            runtime: device, precision and threads; by default `auto`, which means float32; precision int8 is
                the fastest on a CPU with 8-bit instructions.

        Raises:
            CheckpointError: not a run's folder, or one whose parts don't fit together.
            ConfigError: an unknown or impossible search option, one that needs a lexicon where the run has none, a
                device that isn't here, or runs that can't translate together.
        """
        resolved = Runtime.resolve(runtime or RuntimeConfig(), training=False)
        paths = [Path(folder)] if isinstance(folder, str | Path) else [Path(one) for one in folder]
        if not paths:
            raise ConfigError("an ensemble needs at least one run's folder")
        saved = Saved.load_all(paths, checkpoint)
        config, tokenizers = saved[0].config, saved[0].tokenizers
        options = override(config.search, search or {})
        lexicon = needed_lexicon(options, RunFolder(paths[0]), tokenizers)
        limit = LargestLimit(tuple(one.limit for one in saved)) if len(saved) > 1 else saved[0].limit
        models = [one.model.to(resolved.device) for one in saved]
        if resolved.device.type == "cpu" and resolved.precision in ("fp32", "int8") and can_pack():
            models = [packed(one) for one in models]
        model, *others = models
        return cls(model, tokenizers, limit, options, resolved, lexicon, others)

    def with_search(self, changes: Mapping[str, Any]) -> Translator:
        """The same models with other search options; ConfigError where these are impossible."""
        other = copy.copy(self)
        other.search = override(self.search, changes)
        check_search(other.search, self.members.attends, self.lexicon)
        return other

    def spread(self, workers: int | Auto) -> AbstractContextManager[Translator]:
        """The same translator, while the context lasts, with each batch translated by one of `workers` processes.

        The threads are divided among them. A step of decoding is many small operations, which several threads speed up
        little: processes that each have a batch of their own are faster, from a few thousand sentences on (they take
        some seconds to start, and the memory of a process with the model each). Results are the same. 0: no processes;
        auto: a process a thread, at most 8, once ten seconds of translating haven't been enough.

        Raises:
            ConfigError: the model is on a GPU.
            ProcessError: a process can't be started or can't import what the model is made of; later: it has died.
        """
        return spread(self, workers)

    def translate(
        self,
        lines: Sequence[str],
        *,
        batch_size: int = 64,
        attention: bool = False,
        prefixes: Sequence[str] | None = None,
        attention_bias: Sequence[Sequence[float] | None] | None = None,
        first_line: int = 1,
        progress: bool = False,
    ) -> list[Translation]:
        """A translation of each line, in order; blank lines give empty text.

        Args:
            lines: raw text without newlines; a line without a visible character is blank.
            batch_size: sentences translated at once; changes speed and memory, never the result.
            attention: also return the weights of every hypothesis.
            prefixes: for each line, the text that its translation must begin with ("" for none); a blank line's
                translation stays blank.
            attention_bias: for each line, what is added to the attention scores of its pieces at every step, one
                number for each of `source_tokens` (EOS may be left out); None or [] for nothing. Raises attention
                where positive: in a softmax, a weight's ratio to the others grows by exp(number).
            first_line: the number of the first line in messages.
            progress: show a bar or log lines.

        Raises:
            DataError: a prefix longer than the model can write, or a bias that doesn't fit its line or model.
        """
        for name, entries in (("attention_bias", attention_bias), ("prefixes", prefixes)):
            if entries is not None and len(entries) != len(lines):
                raise DataError(f"there are {len(lines):,} lines but {name} has {len(entries):,} entries")
        sources = [
            self.read(
                first_line + i,
                line,
                "" if prefixes is None else prefixes[i],
                None if attention_bias is None else attention_bias[i],
            )
            for i, line in enumerate(lines)
        ]
        return self.translate_read(sources, batch_size=batch_size, attention=attention, progress=progress)

    def read(
        self,
        number: int,
        line: str,
        prefix: str = "",
        attention_bias: Sequence[float] | None = None,
        remarks: Sequence[str] = (),
    ) -> Source:
        """A line ready for `translate_read`; `number` names it in messages. Raises DataError as `translate` does.

        `remarks`, what was done to the line before, and that it is cut here stand in one warning.
        """
        tokenizers, model = self.tokenizers, self.members
        longest, reason = self.search.max_source_length, "search.max_source_length"
        if model.longest_source is not None and model.longest_source <= longest:
            longest, reason = model.longest_source - 1, "all that this model takes, with the end of sentence"
        source = Source.read(number, line, attention_bias, tokenizers.source, longest, reason, remarks)
        if source.bias and not model.attends:
            raise DataError(
                f"line {number}: this model has no attention that a focus or attention_bias could change; leave it "
                "out, or use a model with attention"
            )
        source = source._replace(prefix=tokenizers.target.encode(prefix))
        source.check_prefix(model.longest_target)
        return source

    def translate_read(
        self, sources: Sequence[Source], *, batch_size: int = 64, attention: bool = False, progress: bool = False
    ) -> list[Translation]:
        """A translation of each line that `read` gave; nothing is wrong with them any more."""
        results = [Translation(source.line, [EOS], [Hypothesis("", 0.0, 0.0, [])]) for source in sources]
        for i, found in self.found(sources, batch_size=batch_size, attention=attention, progress=progress):
            results[i] = Translation(sources[i].line, self._source_pieces(sources[i].ids), self._texts(found))
        return results

    def found(
        self, sources: Sequence[Source], *, batch_size: int = 64, attention: bool = False, progress: bool = False
    ) -> Iterator[tuple[int, list[Found]]]:
        """The place of each line that isn't blank, and all that the search found for it, in the order of the work."""
        spoken = [i for i, source in enumerate(sources) if source.spoken]
        lengths = torch.tensor([len(sources[i].ids) for i in spoken], dtype=torch.long)
        every = 10.0 if progress else math.inf
        with Progress("translate", len(spoken), "sentences", every, shown=progress) as bar:
            batches = [[spoken[place] for place in places] for places in sorted_batches(lengths, batch_size)]
            requests = (Request([sources[i] for i in batch], self.search, attention) for batch in batches)
            answers = map(self.found_together, requests) if self.crew is None else self.crew.answers(requests)
            for batch, found in zip(batches, answers, strict=True):
                yield from zip(batch, found, strict=True)
                bar.update(len(batch))
                if bar.due:
                    bar.say(f"translated {bar.done:,} of {len(spoken):,} sentences")

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        batch_size: int = 64,
        attention: bool = False,
        first_pair: int = 1,
    ) -> list[ScoredPair]:
        """The model's log-probability of each target given its whole source, never cut.

        `first_pair` is the number of the first pair in messages.

        Raises:
            DataError: sides of unequal length, or a pair longer than the model can take.
        """
        if len(sources) != len(targets):
            raise DataError(f"{len(sources):,} sources can't be paired with {len(targets):,} targets")
        if not sources:
            return []
        text = ParallelText("pairs", list(sources), list(targets), ())
        corpus = EncodedCorpus.encode(text, self.tokenizers)
        model = self.members
        for side, of_side, longest in (
            ("source", corpus.source_lengths, model.longest_source),
            ("target", corpus.target_lengths, model.longest_target),
        ):
            for number, pieces in enumerate(of_side.tolist(), start=first_pair):
                check_pieces(f"pair {number}", side, pieces, longest, f"shorten its {side}")
        results: dict[int, ScoredPair] = {}
        for places in sorted_batches(corpus.source_lengths + corpus.target_lengths, batch_size):
            results.update(zip(places, self._score(corpus, places, attention), strict=True))
        return [results[i] for i in range(len(corpus))]

    def found_together(self, request: Request) -> list[list[Found]]:
        """All that the search found for each sentence of one batch."""
        try:
            return self._search(request)
        except NoTranslationError as error:
            raise CheckpointError(
                f"line {request.sources[error.sentence].number}: the model gives it no probabilities (its weights are "
                "too large for its numbers); try precision=fp32, checkpoint=last, or a training with a lower "
                "optimizer.learning_rate"
            ) from error

    @torch.inference_mode()
    def _search(self, request: Request) -> list[list[Found]]:
        sources, options, attention = request
        tokenizer, device = self.tokenizers.source, self.runtime.device
        ids, lengths = source_batch([source.ids for source in sources], tokenizer.eos_id, tokenizer.pad_id)
        longest = self.members.longest_target
        cap = options.max_length if longest is None else min(options.max_length, longest)
        bias = padded_bias(sources)
        batch = Sentences(
            ids.to(device),
            lengths,
            self.limit.limits(lengths - 1, cap),
            [line_seed(options.seed, source.line) for source in sources],
            [source.prefix for source in sources] if any(source.prefix for source in sources) else None,
            None if bias is None else bias.to(device),
        )
        self.members.eval()
        with self.runtime.autocast():
            if self.lexicon is None or options.shortlist == 0:
                return find(self.members.searched(), batch, options, self.special, attention)
            common = self.lexicon.frequent[: options.shortlist].tolist()
            shortlist = Shortlist(common, self.lexicon.allowed(ids), self.special, batch.prefixes)
            batch = batch._replace(prefixes=shortlist.prefixes)
            model = self.members.shortlisted(shortlist, device)
            return shortlist.read(find(model, batch, options, shortlist.special, attention))

    @torch.inference_mode()
    def _score(self, corpus: EncodedCorpus, places: list[int], attention: bool) -> list[ScoredPair]:
        batch = collate(corpus, places, self.tokenizers)
        self.members.eval()
        with self.runtime.autocast():
            logits, weights = self.members.predict(batch.to(self.runtime.device))
        gold = batch.target_output[batch.target_mask].to(logits.device)
        log_probs = logits.float().log_softmax(-1).gather(1, gold.unsqueeze(1)).squeeze(1).cpu()  # (N,)
        of_rows = torch.split(log_probs, batch.target_lengths.tolist())
        scored = []
        for row, (place, of_row) in enumerate(zip(places, of_rows, strict=True)):
            source, target = corpus.pair(place)
            attended = None
            if attention and weights is not None:
                attended = weights[row, : len(target) + 1, : len(source) + 1].float().cpu()
            pieces = [*self.tokenizers.target.pieces(target.tolist()), EOS]
            source_pieces = self._source_pieces(source.tolist())
            scored.append(ScoredPair(float(of_row.double().sum()), of_row.tolist(), pieces, source_pieces, attended))
        return scored

    def _source_pieces(self, ids: list[int]) -> list[str]:
        return [*self.tokenizers.source.pieces(ids), EOS]

    def _texts(self, found: list[Found]) -> list[Hypothesis]:
        """The best n of what was found, unique by text: one text cut into pieces in two ways is one hypothesis."""
        unique: dict[str, Hypothesis] = {}
        target = self.tokenizers.target
        for tokens, log_prob, score, weights in sorted(found, key=lambda hypothesis: -hypothesis.score):
            text = one_line(target.decode(tokens))
            if text not in unique:
                unique[text] = Hypothesis(text, score, log_prob, target.pieces(tokens), weights)
            if len(unique) == self.search.n_best:
                break
        return list(unique.values())


class Request(NamedTuple):
    """A batch that is to be translated, by which search, and whether with its attention."""

    sources: list[Source]
    search: SearchConfig
    attention: bool
