"""What a run's metrics.jsonl tells, as points to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from seq2seq.config import Config
from seq2seq.errors import ConfigError, DataError
from seq2seq.runs import RunFolder

if TYPE_CHECKING:
    from seq2seq.plotting.figures.curves import Course, Points

Axis = Literal["updates", "epochs", "minutes"]
Line = Mapping[str, Any]
TRAIN = ("learning_rate", "gradient_norm", "tokens_per_second")
VALID = ("loss", "bleu", "attention_entropy")


class History(NamedTuple):
    """The lines of a run's training and of its validations, in order."""

    path: Path
    config: Config
    train: Sequence[Line]
    valid: Sequence[Line]

    @classmethod
    def read(cls, path: Path) -> History:
        """Of a run that is finished or still at work. DataError where it has no line yet."""
        folder = RunFolder.open(path)
        lines = folder.read_metrics()
        if not lines:
            raise DataError(f"{folder.metrics} has no line yet; wait for the first trainer.log_every updates")
        train, valid = ([line for line in lines if line["kind"] == kind] for kind in ("train", "valid"))
        return cls(path, folder.read_config(), train, valid)

    def course(self, name: str, axis: Axis) -> Course:
        """Ready to be drawn, in updates, epochs or minutes; validations are marked by the measure that chose the best.

        The training's loss is drawn from its perplexity: without label smoothing and without what an objective adds, it
        is what the validation's loss is, but for dropout.
        """
        from seq2seq.plotting.figures.curves import Course

        place = self._places(axis)
        train = {measure: _points(self.train, place, _number(measure)) for measure in TRAIN}
        train["loss"] = _points(self.train, place, _log_perplexity)
        valid = {measure: _points(self.valid, place, _number(measure)) for measure in VALID}
        return Course(name, train, valid, None if (best := self.best()) is None else place(best))

    def best(self) -> Line | None:
        """The validation that trainer.best finds best, the first of equals; None where none has a finite number."""
        measure = self.config.trainer.best
        sign = -1 if measure == "bleu" else 1
        scored = [line for line in self.valid if math.isfinite(_number(measure)(line))]
        return min(scored, key=lambda line: sign * line[measure], default=None)

    def _places(self, axis: Axis) -> Callable[[Line], float]:
        """Where a line stands on the axis."""
        if axis != "minutes":
            key = {"updates": "update", "epochs": "epoch"}[axis]
            return _number(key)
        known = [(0.0, 0.0), *((line["update"], line["seconds"] / 60) for line in self.valid if "seconds" in line)]
        if len(known) == 1:
            raise ConfigError(f"x=minutes: {self.path} was never validated, which is when time is taken; set x=updates")
        return lambda line: _between(known, line["update"])


def _between(known: Sequence[tuple[float, float]], x: float) -> float:
    """The minutes at update x, on straight lines through the (update, minutes) that are known, and beyond the last."""
    after = next((i for i, (place, _) in enumerate(known) if place >= x and i > 0), len(known) - 1)
    (x0, y0), (x1, y1) = known[after - 1], known[after]
    return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _points(lines: Sequence[Line], place: Callable[[Line], float], value: Callable[[Line], float]) -> Points:
    from seq2seq.plotting.figures.curves import Points

    return Points([place(line) for line in lines], [value(line) for line in lines])


def _number(key: str) -> Callable[[Line], float]:
    """Reads a number of a line; NaN where it has none."""
    return lambda line: float(line.get(key, math.nan))


def _log_perplexity(line: Line) -> float:
    perplexity = _number("perplexity")(line)
    return math.log(perplexity) if perplexity > 0 else math.nan
