"""What plot.py refuses before it does anything."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import seq2seq
from seq2seq.errors import ConfigError
from seq2seq.plotting.options import PlotConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "which run?"),
        ({"run": ["a", "b"]}, "several runs have no folder in common"),
        ({"run": "a", "text": "Ein Hund"}, "set kind=attention too"),
        ({"run": "a", "kind": "attention"}, "which sentence?"),
        ({"run": "a", "kind": "attention", "text": "x", "source": "y"}, "which sentence?"),
        ({"run": "a", "rank": 2}, "rank is for attention maps; set kind=attention too"),
        ({"run": "a", "search": {"beam_size": 2}}, "search is for attention maps"),
        ({"run": "a", "kind": "attention", "text": "x", "line": 2}, "line=2 is a line of source=FILE"),
        ({"run": "a", "kind": "attention", "text": "x", "x": "epochs"}, "x=epochs is for curves; leave it out"),
        ({"run": "a", "rank": 0}, "rank"),
        ({"run": "a", "x": "hours"}, "minutes"),
    ],
)
def test_what_cannot_be_drawn(options, message):
    with pytest.raises(ConfigError) as error:
        PlotConfig.from_dict(options)
    assert message in str(error.value)


def test_a_picture_goes_into_the_runs_folder():
    assert PlotConfig.from_dict({"run": "runs/a"}).picture == Path("runs/a/plots/curves.png")
    options = {"run": ["a"], "kind": "attention", "text": "x"}
    assert PlotConfig.from_dict(options).picture == Path("a/plots/attention.png")
    assert PlotConfig.from_dict({"run": ["a", "b"], "output": "x.svg"}).picture == Path("x.svg")


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    figures = [name for name in sys.modules if name.startswith("seq2seq.plotting.figures")]
    for name in figures:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'seq2seq\[plot\]'"):
        importlib.import_module("seq2seq.plotting.figures.heatmap")


def test_nothing_imports_the_figures_before_they_are_drawn():
    package = Path(seq2seq.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name != "figures":
            at_once = [
                node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)
            ]
            assert not [node for node in at_once if str(node.module).startswith("seq2seq.plotting.figures")], path
