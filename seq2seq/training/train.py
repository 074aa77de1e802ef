"""One training run from config to scores: `seq2seq.train(config)`."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.config import Config
from seq2seq.data.corpus import ParallelText
from seq2seq.data.prepare import Corpora, Texts, encode_texts, read_texts
from seq2seq.errors import CheckpointError
from seq2seq.evaluation.metrics import score_texts
from seq2seq.evaluation.translator import Translator, model_for
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options import RuntimeConfig
from seq2seq.progress import LogFile
from seq2seq.runs import RunFolder, digest
from seq2seq.runtime import Runtime, seed_everything, versions
from seq2seq.text.tokenizer import TokenizerPair
from seq2seq.training.trainer import Trainer
from seq2seq.training.validation import Validator

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, and what results.json in it holds."""

    folder: Path
    results: dict[str, Any]


def train(config: Config) -> Run:
    """Trains, keeps the best checkpoint, and scores it on the test sets.

    Everything that can be wrong with the input is found before training begins.

    Raises:
        ConfigError, DataError, CheckpointError: see their docstrings; the message says what to do.
    """
    with LogFile() as log:
        runtime = Runtime.resolve(config, training=True)
        path = Path(config.run) if config.run else default_folder(config)
        RunFolder.refuse_existing(path)
        texts = read_texts(config)
        corpora = encode_texts(config, texts)
        config = config.replace(attention=config.attention.fitted(corpora.report["source_per_target"]))
        seed_everything(config.seed)
        model = model_for(config, corpora.tokenizers)
        if config.init is not None:
            _start_from(model, RunFolder.open(Path(config.init)), corpora.tokenizers)
        model.to(runtime.device)

        resolved = config.replace(
            run=str(path), device=runtime.device.type, precision=runtime.precision, threads=runtime.threads
        )
        folder = RunFolder.create(path, resolved)
        log.write_to(folder.log)
        corpora.tokenizers.save(folder.tokenizer)
        folder.write_json("data.json", corpora.report)
        LOGGER.info("model: %s parameters; run folder: %s", f"{parameters(model):,}", path)
        return _train(resolved, texts, corpora, model, folder, runtime)


def default_folder(config: Config) -> Path:
    """runs/DATE-TIME-ENCODER-ATTENTION-DECODER, made unique."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.encoder.name}-{config.attention.name}-{config.decoder.name}"
    path, again = Path("runs") / name, 1
    while path.exists():
        again += 1
        path = Path("runs") / f"{name}-{again}"
    return path


def parameters(model: Seq2Seq) -> int:
    """Parameters of the model, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _train(config: Config, texts: Texts, corpora: Corpora, model: Seq2Seq, folder: RunFolder, runtime: Runtime) -> Run:
    """Training, the best weights again, the test sets, results.json."""
    translation = Runtime.resolve(
        RuntimeConfig(config.device, "fp32", config.threads, config.deterministic), training=False
    )
    translator = Translator(model, corpora.tokenizers, corpora.limit, config.search, translation)
    validator = Validator(
        texts.valid, corpora.valid, translator, runtime, config.metric, config.trainer.translate_batch
    )
    trainer = Trainer(config, model, corpora, validator, folder, runtime)
    reason = trainer.run()
    seconds = trainer.wall_seconds()
    folder.load_weights(model, "best")
    best, counters = folder.pointer("best"), trainer.counters
    results = {
        "test": {name: _test(name, text, translator, config, folder) for name, text in texts.tests.items()},
        "valid": best["valid"],
        "train": {
            "updates": counters.update,
            "epochs": counters.epoch + counters.position / trainer.updates_per_epoch,
            "seconds": round(seconds, 3),
            "target_tokens": counters.target_tokens,
            "target_tokens_per_second": round(counters.target_tokens / max(counters.seconds, 1e-9), 1),
            "padding_efficiency": round(trainer.padding_efficiency, 4),
            "peak_memory_bytes": runtime.peak_memory_bytes(),
            "stop_reason": reason,
        },
        "model": {"parameters": parameters(model), "digest": digest(model)},
        "search": {
            **dataclasses.asdict(config.search),
            "batch_size": config.trainer.translate_batch,
            "precision": translation.precision,
        },
        "metric": dataclasses.asdict(config.metric),
        "data": corpora.report,
        "device": runtime.describe(),
        "precision": runtime.precision,
        "threads": runtime.threads,
        "versions": versions(),
        "git_commit": _git_commit(),
    }
    folder.write_json("results.json", results)
    LOGGER.info("run folder: %s", folder.path)
    LOGGER.info("translate with: seq2seq-translate %s < input > output", shlex.quote(f"run={folder.path}"))
    return Run(folder.path, results)


def _test(name: str, text: ParallelText, translator: Translator, config: Config, folder: RunFolder) -> dict[str, Any]:
    """Translates a test set, writes the three files, logs the scores and a few translations."""
    start = time.monotonic()
    translations = translator.translate(text.source, batch_size=config.trainer.translate_batch, progress=True)
    seconds = time.monotonic() - start
    hypotheses = [translation.text for translation in translations]
    for suffix, lines in (("source", text.source), ("reference", text.target), ("hypothesis", hypotheses)):
        folder.write_lines(f"{name}.{suffix}", lines)
    scores = score_texts(hypotheses, [text.target], config.metric)
    LOGGER.info("%s: BLEU %.2f  %s", name, scores["bleu"], scores["bleu_signature"])
    LOGGER.info("%s: chrF %.2f  %s", name, scores["chrf"], scores["chrf_signature"])
    rate = len(text) / max(seconds, 1e-9)
    LOGGER.info("%s: %.1f %% exact, %s sentences, %.0f a second", name, 100 * scores["exact_match"], len(text), rate)
    for i in range(min(config.trainer.samples, len(text))):
        LOGGER.info(
            "  source      %s\n  reference   %s\n  translation %s", text.source[i], text.target[i], hypotheses[i]
        )
    return {**scores, "seconds": round(seconds, 3), "sentences_per_second": round(rate, 2)}


def _start_from(model: Seq2Seq, other: RunFolder, tokenizers: TokenizerPair) -> None:
    """Another run's best weights into `model`, when both read the same pieces."""
    theirs = TokenizerPair.load(other.tokenizer)
    if (theirs.source.digest, theirs.target.digest) != (tokenizers.source.digest, tokenizers.target.digest):
        raise CheckpointError(
            f"init={other.path} was trained with another tokenizer, so its embeddings mean other pieces; "
            f"set tokenizer.model={other.path} to use its tokenizer"
        )
    other.load_weights(model, "best")


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from, with `-dirty` after local changes; None elsewhere."""
    try:
        described = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
