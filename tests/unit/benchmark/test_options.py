"""What benchmark.py accepts, and what it refuses with the way out."""

import dataclasses
import re
from typing import get_args

import pytest
import yaml

from seq2seq.benchmark.options import BenchmarkConfig, Comparison, MeasureConfig
from seq2seq.benchmark.run import MODES
from seq2seq.errors import ConfigError
from seq2seq.resources import shipped


def test_defaults_are_those_in_the_file() -> None:
    shown = yaml.safe_load((shipped("configs") / "benchmark.yaml").read_text(encoding="utf-8"))
    assert shown["benchmark"] == dataclasses.asdict(MeasureConfig())
    assert shown["compare"] is None
    assert shown["output"] is None


def test_every_comparison_has_a_mode_and_is_explained() -> None:
    names = set(get_args(Comparison))
    assert MODES.keys() == names | {None}
    text = (shipped("configs") / "benchmark.yaml").read_text(encoding="utf-8")
    help_text = (shipped("configs") / "hydra" / "help" / "benchmark.yaml").read_text(encoding="utf-8")
    for name in names:
        assert f"# {name}: " in text
        assert name in help_text


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"compare": "latency"},
            "compare=latency needs a trained model: set run=FOLDER, the folder that train.py left",
        ),
        (
            {"compare": "models", "run": "r"},
            "compare=models can't use run=r: it measures models of its own; leave run out",
        ),
        (
            {"compare": "corpus", "data": {"train": "x", "valid": "y"}},
            "compare=corpus can't use data.train or data.test: it makes corpora of its own; leave them out",
        ),
        (
            {"compare": "lengths", "data": {"test": "x"}},
            "compare=lengths can't use data.train or data.test: it makes batches of its own; leave them out",
        ),
        ({"benchmark": {"lengths": [4, 2]}}, "benchmark.lengths=[4, 2] must rise, such as [16,32,64]"),
        ({"benchmark": {"updates": 10**12}}, "benchmark.updates=1000000000000 is not allowed: .* from 1 to 1000000"),
        ({"benchmark": {"beams": [0]}}, r"benchmark.beams=\[0\] is not allowed: it must be from 1 to 1000"),
        ({"benchmark": {"beams": "all"}}, "benchmark.beams=all is not allowed: .* a list of numbers or auto"),
        ({"benchmark": {"update": 1}}, "unknown option benchmark.update: did you mean benchmark.updates?"),
        ({"compare": "speed"}, "compare=speed is not allowed: it must be one of models, .* or null"),
        ({"sed": 1}, "unknown option sed: did you mean seed?"),
    ],
)
def test_what_is_refused(plain: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BenchmarkConfig.from_dict(plain)
    assert str(caught.value) == message or re.fullmatch(message, str(caught.value))


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(MeasureConfig) if f.name != "translate_precision"])
def test_every_count_has_an_upper_bound(name: str) -> None:
    default = getattr(MeasureConfig(), name)
    huge = [1, 10**10] if name == "beams" or isinstance(default, list) else 10**10
    with pytest.raises(ConfigError, match=f"^benchmark.{name}=.* is not allowed: it must be from "):
        BenchmarkConfig.from_dict({"benchmark": {name: huge}})


def test_beams_are_the_modes_own_unless_asked_for() -> None:
    assert BenchmarkConfig.from_dict({}).beams([1, 5]) == [1, 5]
    assert BenchmarkConfig.from_dict({"benchmark": {"beams": [3]}}).beams([1, 5]) == [3]
