"""report.py: what is to be known of a run, in one HTML file."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.files import write_atomically
from seq2seq.outputs import check_outputs
from seq2seq.report.options import ReportConfig
from seq2seq.report.read import Run

if TYPE_CHECKING:
    from seq2seq.evaluation.translator import Translator

LOGGER = logging.getLogger("seq2seq")
MARK = b'<meta name="generator" content="seq2seq report">'  # in the head of every report


def report(options: ReportConfig) -> Path:
    """Writes the page, and says where it is.

    Raises:
        CheckpointError: not a run's folder, or one that is damaged, or without weights where attention is asked for.
        ConfigError: a page that can't be written, or that would take the place of another file.
        DataError: translations that aren't aligned.
    """
    run = Run.read(Path(str(options.run)))
    path = options.page
    _refuse_overwriting(path)

    from seq2seq.report.judged import Look, judge
    from seq2seq.report.page import page

    look: Look | None = None
    unlooked = "Without attention, for attention=false was asked for."
    if options.attention and run.tests:
        from seq2seq.report.maps import attention_maps

        translator = _translator(options)
        unlooked = "This model has no attention (attention=none): where it looked can't be shown."
        if translator.model.attends:
            look, unlooked = partial(attention_maps, translator, batch_size=options.batch_size), ""
    judged = [judge(test, run.config.metric, options, look) for test in run.tests]
    content = page(run, judged, unlooked, options.resamples)
    try:
        write_atomically(path, lambda file: file.write_text(content, encoding="utf-8", newline=""))
    except OSError as error:
        raise ConfigError(f"output={path}: {error.strerror}") from error
    LOGGER.info("%s: %.1f MB", path, path.stat().st_size / 1e6)
    return path


def _translator(options: ReportConfig) -> Translator:
    from seq2seq.evaluation.translator import Translator

    try:
        return Translator.load(str(options.run), checkpoint=options.checkpoint, runtime=options)
    except CheckpointError as error:
        raise CheckpointError(f"{error}\n(attention=false makes the report without the model's weights)") from error


def _refuse_overwriting(path: Path) -> None:
    """ConfigError where the page can't be written, or a file that isn't an older report would be lost."""
    try:
        check_outputs({"output": str(path)})
        if path.exists() and path.stat().st_size > 0:
            with path.open("rb") as file:
                if MARK not in file.read(1000):
                    raise ConfigError(f"output={path} is there already and no report of ours; name another file")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(f"output={path}: {error}") from error
