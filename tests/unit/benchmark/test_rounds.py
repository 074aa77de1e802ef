"""Rows measured side by side."""

import pytest

from seq2seq.benchmark.rounds import Spread, in_turn, interleaved


def test_rows_take_turns_and_spreads_are_of_their_own_samples() -> None:
    said: list[str] = []

    def row(name: str, values: list[float]):
        left = iter(values)

        def sample() -> dict[str, float]:
            said.append(name)
            value = next(left)
            return {"x": value, "y": 10 * value}

        return sample

    found = interleaved("test", {"a": row("a", [3, 1, 2]), "b": row("b", [5, 6, 9])}, 3)
    assert "".join(said) == "ababab"
    assert found["a"] == {"x": Spread(2, 1, 3), "y": Spread(20, 10, 30)}
    assert found["b"]["x"] == Spread(6, 5, 9)


def test_an_even_number_of_repeats_has_the_mean_of_the_middle_two() -> None:
    assert Spread.of([1, 2, 4, 100]) == Spread(3, 1, 100)


def test_progress_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.progress.Progress.due", True)
    monkeypatch.setattr("seq2seq.progress.LOGGER.propagate", True)
    with caplog.at_level("INFO", logger="seq2seq"):
        assert in_turn("warm-up", [("one", lambda: 1), ("two", lambda: 2)]) == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "warm-up: 1 of 2 measurements, the last of one",
        "warm-up: 2 of 2 measurements, the last of two",
    ]
