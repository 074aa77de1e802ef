"""The errors that a user can cause and mend; each message says what, where, what is allowed and what to do."""


class Seq2SeqError(Exception):
    """Base of all errors shown to a user in a few lines, without a traceback."""


class ConfigError(Seq2SeqError):
    """An option is unknown, of the wrong type, out of range, or impossible beside another."""


class DataError(Seq2SeqError):
    """Text that can't be read or used: missing, empty, not UTF-8, sides of unequal length."""


class CheckpointError(Seq2SeqError):
    """A run folder, checkpoint or tokenizer that is missing, damaged, or doesn't fit its config."""


class DamagedError(CheckpointError):
    """A file of a run that is not as it was written; one that merely can't be read now is a CheckpointError."""


class TrainingError(Seq2SeqError):
    """A training that can't go on: no finite gradients any more, or no memory for a single sentence."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to stop, and it has saved what there was; `signal` is the signal's number."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
