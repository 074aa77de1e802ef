"""The errors that a user can cause and mend; each message says what, where, what is allowed and what to do."""


class Seq2SeqError(Exception):
    """Base of all errors shown to a user in a few lines, without a traceback."""


class ConfigError(Seq2SeqError):
    """An option is unknown, of the wrong type, out of range, or impossible beside another."""


class DataError(Seq2SeqError):
    """Text that can't be read or used: missing, empty, not UTF-8, sides of unequal length."""


class CheckpointError(Seq2SeqError):
    """A run folder, checkpoint or tokenizer that is missing, damaged, or doesn't fit its config."""
