"""translate.py: a Unix filter. One line out for each line in, whatever is in it."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from seq2seq.config import checked
from seq2seq.data.corpus import BOM
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.focus import focus_bias
from seq2seq.evaluation.item import Item
from seq2seq.evaluation.source import Source
from seq2seq.evaluation.translation import Hypothesis, Translation
from seq2seq.evaluation.translator import Translator
from seq2seq.options import RuntimeConfig, number
from seq2seq.progress import Progress

LOGGER = logging.getLogger("seq2seq")
BATCHES_READ = 20  # read ahead, so that sentences of like length can be translated together


@dataclass(frozen=True)
class TranslateConfig(RuntimeConfig):
    """The options of translate.py; each is explained in configs/translate.yaml."""

    run: str | None = None
    checkpoint: Literal["best", "last"] = "best"
    input: str = "-"
    output: str = "-"
    input_format: Literal["text", "json"] = "text"
    batch_size: int = number(64, 1)
    attention: bool = False
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TranslateConfig:
        config: TranslateConfig = checked(
            cls, plain, lambda c: [] if c.run else ["which model? set run=FOLDER, the folder that train.py left"]
        )
        return config


def translate(config: TranslateConfig) -> None:
    """Translates config.input to config.output until the input ends.

    Raises:
        CheckpointError, ConfigError: before anything is read or written.
        DataError: the input can't be opened, or a line can't be used; then those before it have been written.
    """
    changes = {name: value for name, value in config.search.items() if value is not None}
    with ExitStack() as stack:
        source = _open_input(config.input, stack)
        _refuse_the_input(source, config.output)
        translator = Translator.load(str(config.run), checkpoint=config.checkpoint, search=changes, runtime=config)
        if config.attention and not translator.model.attends:
            raise ConfigError(
                "attention=true: this model has no attention; leave it out, or use a model with attention"
            )
        sink = _open_output(config.output, stack)
        interactive = config.input == "-" and sys.stdin.isatty()
        batch_size = 1 if interactive else config.batch_size
        if interactive:
            LOGGER.info("type a line and press return; control-D ends")
        elif translator.runtime.precision != "fp32":
            LOGGER.warning(
                "precision=%s: a line may depend on its neighbours (on Multi30k, bf16 changed 59 lines of 1,000)",
                translator.runtime.precision,
            )
        as_json = config.attention or translator.search.n_best > 1 or config.input_format == "json"
        read_ahead = batch_size * BATCHES_READ if batch_size > 1 else 1
        shown = not interactive and batch_size > 1
        bar = stack.enter_context(Progress("translate", None, "lines", every=10.0, shown=shown))
        read = partial(_read, translator, config.input_format)
        for chunk in _chunks(source, read, read_ahead, sys.stderr if interactive else None):
            for translation in translator.translate_read(chunk, batch_size=batch_size, attention=config.attention):
                sink.write(_json(translation, config.attention) if as_json else translation.text)
                sink.write("\n")
            sink.flush()
            bar.update(len(chunk))
            if shown and bar.due:
                bar.say(f"translated {bar.done:,} lines")


def _open_input(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(name).open("rb"))
    except OSError as error:
        raise DataError(f"input={name}: {error.strerror}") from error


def _refuse_the_input(source: BinaryIO, output: str) -> None:
    """ConfigError where writing would empty the file that is still to be read, by whatever name it goes."""
    try:
        same = output != "-" and Path(output).is_file() and os.path.samefile(source.fileno(), output)
    except OSError:  # one of them is no file
        same = False
    if same:
        raise ConfigError(f"output={output} is the input, which would be lost before it is read; name another file")


def _open_output(name: str, stack: ExitStack) -> TextIO:
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="\n")  # type: ignore[union-attr]
        return sys.stdout
    try:
        return stack.enter_context(Path(name).open("w", encoding="utf-8", errors="replace", newline="\n"))
    except OSError as error:
        raise ConfigError(f"output={name}: {error.strerror}") from error


def _chunks(
    source: BinaryIO, read: Callable[[bytes, int], Source], size: int, prompt: TextIO | None
) -> Iterator[list[Source]]:
    """Lines, each read with its number, in lists of `size`; with size 1 each is given on as soon as it is there.

    Raises:
        DataError: a line that can't be used; what was read before it is given on first.
    """
    chunk: list[Source] = []
    number = 0
    while True:
        if prompt is not None:
            prompt.write("> ")
            prompt.flush()
        line = source.readline()  # unlike iteration, waits for no more than a line
        if not line:
            break
        number += 1
        try:
            chunk.append(read(line, number))
        except DataError:
            if chunk:
                yield chunk
            raise
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read(translator: Translator, input_format: Literal["text", "json"], line: bytes, number: int) -> Source:
    text = _decode(line.removeprefix(BOM) if number == 1 else line, number)
    item = Item(text) if input_format == "text" else Item.from_json(text, number)
    bias = focus_bias(item.text, item.focus, item.strength, translator.tokenizers.source) if item.focus else None
    return translator.read(number, item.text, item.prefix, bias)


def _decode(line: bytes, number: int) -> str:
    """A line without its end; what isn't UTF-8 becomes U+FFFD, with a warning."""
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        LOGGER.warning("line %d: not valid UTF-8 (byte 0x%02X); U+FFFD put in its place", number, line[error.start])
        return line.decode("utf-8", errors="replace")


def _json(translation: Translation, attention: bool) -> str:
    content: dict[str, Any] = {"source": translation.source}
    if attention:
        content["source_tokens"] = translation.source_tokens
    content["hypotheses"] = [_hypothesis(hypothesis, attention) for hypothesis in translation.hypotheses]
    return json.dumps(content, ensure_ascii=False)


def _hypothesis(hypothesis: Hypothesis, attention: bool) -> dict[str, Any]:
    content: dict[str, Any] = {
        "text": hypothesis.text,
        "score": round(hypothesis.score, 6),
        "log_prob": round(hypothesis.log_prob, 6),
    }
    if attention:
        rows = [] if hypothesis.attention is None else hypothesis.attention.tolist()  # None: of a blank line
        content["tokens"] = hypothesis.tokens
        content["attention"] = [[round(weight, 6) for weight in row] for row in rows]
    return content
