"""Everything that a training, or the plan of one, begins with: data, model, machine; and what an earlier one left."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.config import Config
from seq2seq.data.prepare import Corpora, Texts, encode_texts, read_texts
from seq2seq.data.sampler import BatchSampler
from seq2seq.errors import CheckpointError
from seq2seq.evaluation.saved import model_for, sketch
from seq2seq.evaluation.translator import Translator
from seq2seq.manifest import Manifest
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.weights import distinct
from seq2seq.options import RuntimeConfig
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime, seed_everything
from seq2seq.text.pair import TokenizerPair
from seq2seq.training.limits import Limits
from seq2seq.training.resume import continued, refuse_changed_data
from seq2seq.training.tensorboard import check_installed
from seq2seq.training.trainer import Trainer
from seq2seq.training.validation import Validator

LOGGER = logging.getLogger("seq2seq")


@dataclass
class Earlier:
    """A training of this folder that has saved something; `config` is what to go on with."""

    folder: RunFolder
    config: Config
    changes: dict[str, tuple[Any, Any]]  # before and now, by option
    newest: Manifest
    restored: tuple[Manifest, dict[str, Any]] | None = None

    @classmethod
    def find(cls, folder: RunFolder, asked: Config) -> Earlier | None:
        """What `resume=auto` finds in the folder, which is then this process's; None: a training begins.

        Raises:
            CheckpointError: another process trains in it, or it was another training.
            ConfigError: there is a run, and `resume` isn't `auto`.
        """
        if asked.resume == "never" or not folder.exists:
            folder.refuse_existing()
            return None
        RunFolder.open(folder.path)
        folder.own()
        manifests = folder.checkpoints.newest()
        if not manifests:
            if any(folder.checkpoints.folder.glob("*.json")):
                raise cls._nothing_whole(folder)
            LOGGER.info("run=%s has no checkpoint yet: it starts", folder.path)
            return None
        config, changes = continued(folder.read_config(), asked, str(folder.path))
        return cls(folder, config, changes, manifests[0])

    @property
    def finished(self) -> bool:
        """Whether it met its limits and was tested, and nothing was asked for since that would change that."""
        files = (self.folder.path / "results.json", self.folder.lexicon)
        if self.changes or not all(file.is_file() for file in files):
            return False
        results = self.folder.read_json("results.json")
        return (results.get("config"), results.get("update")) == (self.config.to_dict(), self.newest.update)

    def refuse_changed(self, texts: Texts) -> TokenizerPair:
        """The run's tokenizers, when they and the data's files are what they were."""
        report = self.folder.read_json("data.json")
        refuse_changed_data(report.get("files", {}), texts.files, str(self.folder.path))
        tokenizers = TokenizerPair.load(self.folder.tokenizer)
        if tokenizers.digests != report.get("tokenizer"):
            raise CheckpointError(
                f"{self.folder.tokenizer} is not the tokenizer that the run began with; bring it back, or train anew"
            )
        return tokenizers

    def check_size(self, config: Config, tokenizers: TokenizerPair) -> None:
        """CheckpointError where the config's model is larger than the checkpoint, before memory is taken for it."""
        tensors = distinct(sketch(config, tokenizers)).values()
        if sum(tensor.numel() * tensor.element_size() for tensor in tensors) > self.newest.files["weights"]["bytes"]:
            raise CheckpointError(f"run={self.folder.path}: the model of its config is larger than its checkpoints")

    def load(self, model: Seq2Seq) -> None:
        """The newest whole checkpoint's weights into `model`; what is newer is damaged, and goes."""
        self.restored = self.folder.checkpoints.load_newest(model)
        if self.restored is None:
            raise self._nothing_whole(self.folder)

    @staticmethod
    def _nothing_whole(folder: RunFolder) -> CheckpointError:
        return CheckpointError(f"run={folder.path}: all checkpoints are damaged; delete the folder to train anew")

    def resume(self, trainer: Trainer) -> dict[str, tuple[Any, Any]]:
        """Brings `trainer` to where the checkpoint was; what has changed in the config since, by option."""
        assert self.restored is not None
        manifest, state = self.restored
        try:
            trainer.resume(manifest, state)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"run={self.folder.path}: the training state of update {manifest.update} doesn't fit: {error}"
            ) from error
        self.folder.checkpoints.drop_after(manifest.update)
        self.folder.checkpoints.drop(self.config.trainer.keep_last, self.config.trainer.keep_best)
        for key, (before, now) in self.changes.items():
            LOGGER.info("changed since: %s from %s to %s", key, before, now)
        return self.changes


@dataclass(frozen=True)
class Ready:
    """Data, model and machine of a training; in `config`, what is `auto` for them is settled."""

    config: Config
    texts: Texts
    corpora: Corpora
    sampler: BatchSampler
    model: Seq2Seq
    runtime: Runtime

    @classmethod
    def make(cls, config: Config, folder: RunFolder, earlier: Earlier | None) -> Ready:
        """Reads and encodes the data, and builds the model, with an earlier training's weights if there is one."""
        check_installed(config.trainer.tensorboard)
        runtime = Runtime.resolve(config, training=True)
        texts = read_texts(config)
        corpora = encode_texts(config, texts, None if earlier is None else earlier.refuse_changed(texts))
        sampler = BatchSampler.of(corpora.train, config.trainer, config.seed)
        last = Limits.of(config.trainer, sampler.epoch(0)).last_update
        scheduler = config.scheduler.ending(last)
        if scheduler.horizon is not None and last is not None and scheduler.horizon < last:
            LOGGER.warning(
                "scheduler.decay_updates=%s: from there to update %s the learning rate stays at its last value; set "
                "scheduler.decay_updates=%s to go on learning", f"{scheduler.horizon}", f"{last:,}", f"{last}",
            )  # fmt: skip
        config = config.replace(
            run=str(folder.path),
            resume="never",
            device=runtime.device.type,
            precision=runtime.precision,
            threads=runtime.threads,
            attention=config.attention.fitted(corpora.report["source_per_target"]),
            scheduler=scheduler,
        )
        if earlier is not None:
            earlier.check_size(config, corpora.tokenizers)
        seed_everything(config.seed)
        model = model_for(config, corpora.tokenizers)
        if earlier is not None:
            earlier.load(model)
        elif config.init is not None:
            _start_from(model, RunFolder.open(Path(config.init)), corpora.tokenizers)
        return cls(config, texts, corpora, sampler, model.to(runtime.device), runtime)

    def translator(self) -> Translator:
        """The final search, in float32 and over the whole vocabulary."""
        options = RuntimeConfig(self.config.device, "fp32", self.config.threads, self.config.deterministic)
        runtime = Runtime.resolve(options, training=False)
        search = dataclasses.replace(self.config.search, shortlist=0)
        return Translator(self.model, self.corpora.tokenizers, self.corpora.limit, search, runtime)

    def trainer(self, translator: Translator, folder: RunFolder) -> Trainer:
        config, corpora = self.config, self.corpora
        validator = Validator(
            self.texts.valid, corpora.valid, translator, self.runtime, config.metric, config.trainer.translate_batch
        )
        return Trainer(config, self.model, corpora, self.sampler, validator, folder, self.runtime)


def _start_from(model: Seq2Seq, other: RunFolder, tokenizers: TokenizerPair) -> None:
    """Another run's best weights into `model`, when both read the same pieces."""
    if TokenizerPair.load(other.tokenizer).digests != tokenizers.digests:
        raise CheckpointError(
            f"init={other.path} was trained with another tokenizer, so its embeddings mean other pieces; "
            f"set tokenizer.model={other.path} to use its tokenizer"
        )
    other.checkpoints.load_weights(model, "best")
