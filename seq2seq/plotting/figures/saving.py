"""A figure as a file."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure as Figure

from seq2seq.errors import ConfigError
from seq2seq.files import write_atomically
from seq2seq.plotting.figures.fonts import quiet

FORMATS = ("png", "svg", "pdf")
UNDATED = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}  # so that a figure is always the same file
DOTS = 160  # an inch, of a PNG
MOST_DOTS = 12_000  # of its longer side: four times as many would be a gigabyte in memory


def check_name(name: str | Path) -> None:
    """ConfigError where this name can't be a picture's."""
    if Path(name).suffix.lower().removeprefix(".") not in FORMATS:
        raise ConfigError(f"output={name} must end in .png, .svg or .pdf, which says how the picture is written")
    if Path(name).is_dir():
        raise ConfigError(f"output={name} is a folder; name a file")


def save(figure: Figure, name: str | Path) -> None:
    """Writes the figure by the ending of its name, in a folder that is made where it isn't there.

    Letters of an SVG and a PDF are outlines or embedded fonts: they look the same where their fonts are missing.

    Raises:
        ConfigError: another ending than .png, .svg and .pdf, or the file can't be written.
    """
    check_name(name)
    path = Path(name)
    ending = path.suffix.lower().removeprefix(".")
    dots = min(DOTS, MOST_DOTS / max(figure.get_size_inches()))

    def write(temporary: Path) -> None:
        with quiet(), matplotlib.rc_context({"svg.hashsalt": "seq2seq"}):
            figure.savefig(temporary, format=ending, dpi=dots, metadata=UNDATED[ending])

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
    except OSError as error:
        raise ConfigError(f"output={name} can't be written: {error.strerror or error}") from error
