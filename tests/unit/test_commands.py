"""Options of the commands that train nothing: those in configs/ are those of their dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from seq2seq.alignment.align import AlignConfig
from seq2seq.commands import TranslateConfig
from seq2seq.comparison.options import CompareConfig
from seq2seq.composition import composed
from seq2seq.evaluation.evaluate import EvaluateConfig
from seq2seq.evaluation.tuning import TuneConfig
from seq2seq.options import MetricConfig, SearchConfig
from seq2seq.plotting.options import PlotConfig
from seq2seq.preparation.options import CheckConfig, PrepareConfig
from seq2seq.report.options import ReportConfig

COMMANDS = {
    "align": AlignConfig,
    "check_data": CheckConfig,
    "compare": CompareConfig,
    "evaluate": EvaluateConfig,
    "plot": PlotConfig,
    "prepare_data": PrepareConfig,
    "report": ReportConfig,
    "translate": TranslateConfig,
    "tune": TuneConfig,
}
CHANGES = {"metric": MetricConfig(), "search": SearchConfig()}  # of the run's own: null in the file, {} in the class


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_and_the_class_have_the_same_options_and_defaults(command: str) -> None:
    shown, known = composed(command, []), dataclasses.asdict(COMMANDS[command]())
    group = {"compare": "table", "prepare_data": "recipe"}.get(command)
    assert shown.keys() | {group} == known.keys() | {group}
    assert {key: _given(key, value) for key, value in shown.items() if key != group} == {
        key: value for key, value in known.items() if key != group
    }


def _given(key: str, value: Any) -> Any:
    """As the class has it: changes are those alone that aren't null."""
    if key in CHANGES:
        assert value.keys() <= vars(CHANGES[key]).keys()
        return {name: option for name, option in value.items() if option is not None}
    return value
