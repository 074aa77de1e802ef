"""When a training validates, saves and stops."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seq2seq.data.sampler import Epoch
from seq2seq.options import TrainerConfig
from seq2seq.options.training import interval
from seq2seq.training.optim import last_update
from seq2seq.training.state import Counters


@dataclass(frozen=True)
class Limits:
    """What the trainer's options say, of the counters and the seconds since the first update."""

    options: TrainerConfig
    updates_per_epoch: int

    @classmethod
    def of(cls, options: TrainerConfig, epoch: Epoch) -> Limits:
        """With as many updates an epoch as this one's batches make."""
        return cls(options, math.ceil(len(epoch) / options.accumulate))

    @property
    def last_update(self) -> int | None:
        """By max_updates and max_epochs; None: neither is set."""
        return last_update(self.options, self.updates_per_epoch)

    def due(self, every: int | str, counters: Counters) -> bool:
        """Whether that interval, of updates or whole epochs, ends just now."""
        updates, epochs = interval(every)
        if counters.update == 0:
            return False
        if updates is not None:
            return counters.update % updates == 0
        assert epochs is not None
        return counters.batch == 0 and counters.epoch % epochs == 0

    def reason_to_stop(self, counters: Counters, seconds: float) -> str | None:
        """The first limit that is met, in words."""
        options = self.options
        if options.max_updates is not None and counters.update >= options.max_updates:
            return f"trainer.max_updates={options.max_updates}"
        if options.max_epochs is not None and counters.epoch >= options.max_epochs:
            return f"trainer.max_epochs={options.max_epochs}"
        if options.max_minutes is not None and seconds >= 60 * options.max_minutes:
            return f"trainer.max_minutes={options.max_minutes:g}"
        if options.patience is not None and counters.validations_without_better >= options.patience:
            return f"no better {options.best} in {options.patience} validations (trainer.patience)"
        return None

    def time_left(self, counters: Counters, seconds: float) -> str:
        """To the nearest limit, at the pace so far; nothing where there is none."""
        last, options = self.last_update, self.options
        by_updates = None if last is None else seconds / counters.update * (last - counters.update)
        by_minutes = None if options.max_minutes is None else 60 * options.max_minutes - seconds
        left = min((limit for limit in (by_updates, by_minutes) if limit is not None), default=None)
        if left is None:
            return ""
        minutes, rest = divmod(max(0, int(left)), 60)
        return f"{minutes}:{rest:02d} left"
