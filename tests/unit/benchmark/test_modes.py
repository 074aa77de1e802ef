"""Every mode, at sizes of a moment: which rows there are, what they hold, and how they are shown."""

import json
import math
from contextlib import contextmanager
from pathlib import Path

import pytest

from seq2seq.benchmark import models, precision, scaling
from seq2seq.benchmark.run import benchmark, show
from seq2seq.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would run in a process of its own; that it does is tested with the script."""
    for module in (models, scaling):
        monkeypatch.setattr(module, "alone", lambda task, request, name: task(request))
    monkeypatch.setattr("seq2seq.benchmark.floor.SECONDS", 0.001)


def numbers(row: dict) -> list[float]:
    flat = [part for value in row.values() for part in (value.values() if isinstance(value, dict) else [value])]
    return [part for part in flat if isinstance(part, int | float)]


def checked(results: dict) -> list[dict]:
    """The rows, after what holds for all modes; with only plain data in them."""
    assert json.loads(json.dumps(results)) == results
    assert results.keys() == {"compare", "machine", "columns", "rows", "notes", "measure", "config"}
    assert {"cpu", "cores", "device", "threads", "date", "versions"} == results["machine"].keys()
    for row in results["rows"]:
        assert row["precision"] in ("fp32", "bf16", "int8")
        assert all(math.isfinite(number) for number in numbers(row))
        for value in row.values():
            if isinstance(value, dict):
                assert value.keys() == {"median", "low", "high"}
                assert 0 < value["low"] <= value["median"] <= value["high"]
    lines = show(results).splitlines()
    assert len({len(line) for line in lines[: len(results["rows"]) + 1]}) <= 2  # aligned; blanks at the end may be cut
    for row, line in zip(results["rows"], lines[1:], strict=False):
        assert line.startswith(row["name"])
    for column in results["columns"]:
        assert column["title"] in lines[0]
        assert any(column["key"] in row for row in results["rows"])
    assert results["machine"]["versions"]["torch"] in lines[-1]
    return results["rows"]


DECODERS = {
    "lstm": {},
    "gru": {"attention": "bahdanau", "encoder": "gru"},
    "conditional_gru": {"attention": "bahdanau", "encoder": "gru"},
    "gnmt": {"attention": "bahdanau"},
    "transformer": {
        "encoder": {"name": "transformer", "hidden_size": 8, "num_heads": 2},
        "attention": {"name": "multi_head", "num_heads": 2},
    },
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_one_model(decoder: str, make_options) -> None:
    options = {"name": decoder, "hidden_size": 8, "num_heads": 2} if decoder == "transformer" else decoder
    rows = checked(benchmark(make_options(decoder=options, **DECODERS[decoder])))
    assert len(rows) == 1
    (row,) = rows
    assert f"decoder={decoder}" in row["name"]
    assert row["share"]["median"] < 1
    assert row["flops_per_token"] > 0
    assert row["parameters"] > 0
    assert row["peak_bytes"] > 1e6
    assert {"beam_1", "beam_5", "translate_precision"} <= row.keys()


def test_the_share_is_the_rate_over_the_floor(make_options) -> None:
    (row,) = checked(benchmark(make_options({"repeats": 1})))
    share = row["tokens_per_second"]["median"] / row["floor_tokens_per_second"]["median"]
    assert row["share"]["median"] == pytest.approx(share)
    rate = 1e9 * max(row["square_gflops"]["median"], row["own_gflops"]["median"])
    assert row["floor_tokens_per_second"]["median"] == pytest.approx(rate / row["flops_per_token"])


def test_an_untrained_model_needs_an_attention_no_more_than_training_does(make_options) -> None:
    rows = checked(benchmark(make_options({"beams": [2]}, attention="none", encoder="mean", decoder="gru")))
    assert rows[0].keys() & {"beam_1", "beam_2", "beam_5"} == {"beam_2"}


def test_models(make_options) -> None:
    rows = checked(benchmark(make_options({"repeats": 1}, compare="models", embedding_size=8)))
    names = ["LSTM, Luong general", "LSTM, Luong general, input feeding", "GRU, Bahdanau", "Transformer"]
    assert [row["name"] for row in rows] == names
    assert len({row["parameters"] for row in rows}) == 4


def test_precision(make_options) -> None:
    options = make_options({"updates": 9, "warmup": 2}, compare="precision", encoder={"name": "lstm", "dropout": 0.0})
    rows = checked(benchmark(options))
    assert [(row["name"], row["precision"]) for row in rows] == [("training", "fp32"), ("training", "bf16")]
    exact, rounded = rows
    assert exact["updates"] == rounded["updates"] == 20
    assert len(exact["losses"]) == len(rounded["losses"]) == 10
    assert exact["loss"] == exact["losses"][-1]
    assert exact["difference"] == 0
    largest = max(abs(a - b) for a, b in zip(exact["losses"], rounded["losses"], strict=True))
    assert rounded["difference"] == largest > 0
    assert largest < 0.05  # bf16 keeps 8 bits; weights and states stay float32


def test_precisions_that_the_machine_has_not_got_are_left_out(make_bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(options, *, training: bool):
        if options.precision == "int8":
            raise ConfigError("not here")

    bench = make_bench()
    monkeypatch.setattr(precision.Runtime, "resolve", resolve)
    assert precision.translating_precisions(bench) == ["fp32", "bf16"]


def test_code_paths(make_options, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []

    @contextmanager
    def plain():
        entered.append(True)
        yield

    monkeypatch.setitem(models.PATHS, "plain", plain)
    rows = checked(benchmark(make_options(compare="plain")))
    assert [row["name"] for row in rows] == [*models.PATHS]
    assert rows[-1]["name"] == "plain"
    repeats, beams = 2, 2
    assert len(entered) >= 1 + 1 + repeats + beams * (1 + repeats)  # memory, warm-up, training, each beam's search


def test_beams(make_options) -> None:
    rows = checked(benchmark(make_options({"beams": [1, 3]}, compare="beams")))
    assert [(row["beam"], row["sentences"]) for row in rows] == [(1, 5), (3, 5), (5, 3), (5, 7)]
    for row in rows:
        assert row["milliseconds_per_beam"] == pytest.approx(row["milliseconds"]["median"] / row["beam"])


def test_corpus(make_options) -> None:
    rows = checked(benchmark(make_options({"warmup": 0, "repeats": 1}, compare="corpus")))
    assert [row["name"] for row in rows] == ["9 pairs", "21 pairs"]
    for row in rows:
        parts = row["update_microseconds"]["median"] + row["order_microseconds"]["median"]
        assert row["microseconds"]["median"] == pytest.approx(parts)


def test_lengths(make_options) -> None:
    options = make_options(compare="lengths")
    rows = checked(benchmark(options))
    assert [(row["source"], row["target"]) for row in rows] == [(2, 3), (3, 3), (5, 3), (3, 2), (3, 3), (3, 5)]
    for before, row in ((rows[0], rows[1]), (rows[1], rows[2]), (rows[4], rows[5])):
        pieces = row["source"] - before["source"] + row["target"] - before["target"]
        assert row["more_bytes"] == (row["kept_bytes"] - before["kept_bytes"]) / pieces
    assert rows[1]["more_bytes"] == pytest.approx(rows[2]["more_bytes"], rel=0.02)  # additive attention, linear in S
    assert rows[4]["more_bytes"] == pytest.approx(rows[5]["more_bytes"], rel=0.02)  # and in T
    assert all("more_bytes" not in rows[i] for i in (0, 3))


@pytest.mark.parametrize(("source", "target"), [(2, 1), (1, 4), (6, 3)])
def test_lengths_are_those_of_the_batch(source: int, target: int, make_options, monkeypatch) -> None:
    seen = []
    update = scaling.Training

    class Watched(update):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            inner = self.updater.update
            self.updater.update = lambda batches, number: (seen.extend(batches), inner(batches, number))[1]

    monkeypatch.setattr(scaling, "Training", Watched)
    options = make_options()
    scaling._update((options.config, options.measure, scaling.Lengths(source, target)))
    assert (*seen[-1].source.shape, *seen[-1].target_output.shape) == (scaling.ROWS, source, scaling.ROWS, target)


def test_results_are_written_where_asked(make_options, tmp_path: Path) -> None:
    results = benchmark(make_options({"beams": [1]}, output=str(tmp_path / "speed.json")))
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")) == results


def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(make_options, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^output=\S+/no/speed.json: there is no folder \S+/no; make it, or name another"
    ):
        benchmark(make_options(output=str(tmp_path / "no" / "speed.json")))
