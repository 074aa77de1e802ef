"""Runs over their seeds."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from seq2seq.comparison import recipes as module
from seq2seq.comparison.finished import FinishedRun
from seq2seq.comparison.recipes import least_p, permutation_p, recipe_names, recipe_row, recipes
from seq2seq.config import Config
from seq2seq.runs import RunFolder


def run(**options: Any) -> FinishedRun:
    return FinishedRun(RunFolder(Path("a")), Config.from_dict(options), {})


def test_runs_that_differ_in_nothing_but_their_seed_are_a_recipe() -> None:
    none = {"attention": {"name": "none"}}
    runs = [run(seed=1), run(seed=1, **none), run(seed=2), run(seed=2, **none), run(seed=3, threads=4), run(seed=1)]
    assert recipes(runs) == [[0, 2, 4, 5], [1, 3]]
    assert recipe_names(runs, "abcdef", [[0, 2, 4, 5], [1, 3]]) == ["attention=luong_general", "attention=none"]
    assert recipe_names(runs, "abcdef", [[0, 2]]) == ["a, c"]
    assert recipes([run(seed=1, precision="bf16"), run(seed=2, precision="fp32")]) == [[0], [1]]


def test_p_is_the_share_of_ways_to_share_out_that_are_as_far_apart() -> None:
    assert permutation_p([1, 2], [3, 10]) == pytest.approx(2 / 6)  # 5, 4, 3, 3, 4, 5 apart
    assert permutation_p([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1) == least_p(3, 3)
    assert permutation_p([4, 5, 6], [1, 2, 3]) == pytest.approx(0.1)
    assert permutation_p([1, 2, 3], [4, 5]) == pytest.approx(0.2)  # {3, 4, 5} and {1, 2} are as far apart
    assert permutation_p([1, 2, 3], [10, 11]) == pytest.approx(0.1) == least_p(3, 2)
    assert permutation_p([0.1, 0.2, 0.3], [0.2, 0.3, 0.1]) == 1


def test_p_is_that_of_all_orders_of_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = [41.2, 40.9, 41.5, 40.7], [41.4, 41.9, 41.3]
    distances = [abs(sum(order[:4]) / 4 - sum(order[4:]) / 3) for order in permutations([*first, *second])]
    exact = sum(distance >= distances[0] - 1e-9 for distance in distances) / len(distances)
    assert 0.05 < exact < 0.95
    assert permutation_p(first, second) == pytest.approx(exact)
    monkeypatch.setattr(module, "MOST", 30)  # fewer than the 35 ways: drawn
    monkeypatch.setattr(module, "comb", lambda *_: 31)
    drawn = [permutation_p(first, second, seed) for seed in range(40)]
    assert sum(drawn) / 40 == pytest.approx(exact, abs=0.06)


def test_a_row_has_means_and_deviations() -> None:
    first = [figures("a", 1, 30.0), figures("b", 2, 31.0), figures("c", 3, 32.0)]
    other = [figures("d", 1, 40.0), figures("e", 2, 44.0)]
    row = recipe_row("name", other, first, seed=1)
    assert (row["bleu"], row["runs"], row["seeds"]) == (42.0, ["d", "e"], [1, 2])
    assert row["bleu_deviation"] == pytest.approx(8**0.5, abs=1e-4)  # of 40 and 44, with n - 1
    assert row["bleu_p"] == 0.1
    assert row["bleu_by_length"] == {"1-7": 42.0, "8+": None}
    assert "bleu_p" not in recipe_row("first", first, first, seed=1)
    assert not {"bleu_p", "bleu_deviation"} & recipe_row("one run", other[:1], first, seed=1).keys()


def figures(name: str, seed: int, bleu: float) -> dict[str, Any]:
    return {
        "name": name,
        "seed": seed,
        "bleu": bleu,
        "chrf": bleu + 1,
        "ter": 100 - bleu,
        "exact_match": 0.5,
        "bleu_by_length": {"1-7": bleu, "8+": None},
    }
