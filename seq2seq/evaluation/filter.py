"""translate.py: a Unix filter. One line out for each line in, whatever is in it."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal

from seq2seq.commands import TranslateConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.focus import focus_bias
from seq2seq.evaluation.item import Item, Line
from seq2seq.evaluation.output import Sink, Written, standard
from seq2seq.evaluation.source import LINE_BREAKS, Source, warn
from seq2seq.evaluation.translation import Hypothesis, Translation
from seq2seq.evaluation.translator import Translator
from seq2seq.progress import Progress
from seq2seq.runtime import DTYPES

LOGGER = logging.getLogger("seq2seq")
BATCHES_READ = 20  # read ahead, so that sentences of like length can be translated together,
BYTES_READ = 1 << 24  # but of long lines no more than this, for they and their pieces stand in memory meanwhile,
BYTES_ATTENDED = 1 << 16  # nor than this where attention is wanted: a weight for each pair of pieces
ESCAPED = re.compile(f"[{LINE_BREAKS}\ud800-\udfff]")  # what JSON has to spell: a reader would end the line, or stop


def translate(config: TranslateConfig) -> None:
    """Translates config.input to config.output until the input ends.

    Raises:
        CheckpointError, ConfigError: before anything is written, or where no more can be written.
        DataError: the input can't be read, or a line can't be used; then those before it have been written.
    """
    with ExitStack() as stack:
        source = _open_input(config.input, stack)
        _refuse_the_input(source, config.output)
        interactive = config.input == "-" and sys.stdin.isatty()
        if interactive and config.resume:
            raise ConfigError("resume=true has to read the input once more, which is typed here; set input=FILE")
        batch_size = 1 if interactive else config.batch_size
        lines = Line.read(source, sys.stderr if interactive else None)
        most = batch_size * BATCHES_READ if batch_size > 1 else 1
        most_bytes = BYTES_ATTENDED if config.attention else BYTES_READ
        written = Written.of(config.output) if config.resume else Written()
        chunks = written.skip(_chunks(lines, most, most_bytes, config.input))
        translator = stack.enter_context(_load(config).spread(config.workers if batch_size > 1 else 0))
        gc.freeze()  # what is loaded stays: without this, Python looks through all of it for garbage again and again
        sink = Sink.open(config.output, written.size, stack)
        if interactive:
            LOGGER.info("type a line and press return; control-D ends")
        elif translator.runtime.precision in DTYPES:
            LOGGER.warning(
                "precision=%s: a line may depend on its neighbours (on Multi30k, bf16 changed 59 lines of 1,000)",
                translator.runtime.precision,
            )
        as_json = config.attention or translator.search.n_best > 1 or config.input_format == "json"
        shown = not interactive and batch_size > 1
        bar = stack.enter_context(Progress("translate", None, "lines", every=10.0, shown=shown))
        for chunk in chunks:
            sources, fault = _sources(chunk, translator, config.input_format)
            translations = translator.translate_read(sources, batch_size=batch_size, attention=config.attention)
            new = translations[max(0, written.lines + 1 - chunk[0].number) :]
            sink.write(_json(translation, config.attention) if as_json else translation.text for translation in new)
            if fault is not None:
                raise fault
            bar.update(len(new))
            if shown and bar.due:
                bar.say(f"translated {bar.done:,} lines")


def _open_input(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return standard(sys.stdin, "input")
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


def _load(config: TranslateConfig) -> Translator:
    translator = Translator.load(config.runs(), checkpoint=config.checkpoint, search=config.searched(), runtime=config)
    if config.attention and not translator.members.attends:
        raise ConfigError("attention=true: this model has no attention; leave it out, or use a model with attention")
    return translator


def _chunks(lines: Iterator[Line], most: int, most_bytes: int, name: str) -> Iterator[list[Line]]:
    """Lists of `most` lines, or of fewer that have `most_bytes` together; a last one of what is left.

    Raises:
        DataError: the input `name` can't be read any further; what was read is given on first.
    """
    chunk: list[Line] = []
    size = 0
    try:
        for line in lines:
            chunk.append(line)
            size += len(line.content)
            if len(chunk) == most or size >= most_bytes:
                yield chunk
                chunk, size = [], 0
    except OSError as error:
        if chunk:
            yield chunk
        raise DataError(f"input={name}: {error.strerror}") from error
    if chunk:
        yield chunk


def _sources(
    chunk: list[Line], translator: Translator, input_format: Literal["text", "json"]
) -> tuple[list[Source], DataError | None]:
    """The lines before the first that can't be used, and what is wrong with that one."""
    sources: list[Source] = []
    for line in chunk:
        try:
            sources.append(_read(line, translator, input_format))
        except DataError as error:
            return sources, error
    return sources, None


def _read(line: Line, translator: Translator, input_format: Literal["text", "json"]) -> Source:
    text, remarks = line.decode()
    try:
        item = Item(text) if input_format == "text" else Item.from_line(line, text)
    except DataError:
        warn(line.number, remarks)  # it may be the reason
        raise
    bias = focus_bias(item.text, item.focus, item.strength, translator.tokenizers.source) if item.focus else None
    return translator.read(line.number, item.text, item.prefix, bias, remarks)


def _json(translation: Translation, attention: bool) -> str:
    content: dict[str, Any] = {"source": translation.source}
    if attention:
        content["source_tokens"] = translation.source_tokens
    content["hypotheses"] = [_hypothesis(hypothesis, attention) for hypothesis in translation.hypotheses]
    return ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(content, ensure_ascii=False))


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
