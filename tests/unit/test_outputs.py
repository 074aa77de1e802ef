"""Files that options name: looked at before the work, and none of the user's lost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from seq2seq.errors import ConfigError
from seq2seq.outputs import check_outputs, make_folder, refuse_existing, write_lines, write_results


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "read", "message"),
    [
        ({"output": "."}, [], "output=. is a folder; name a file in it"),
        ({"output": "no/x"}, [], "output=no/x: there is no folder no; make it, or name another file"),
        ({"scores": "./x"}, [None, "x"], "scores=./x would overwrite x, which is read here; name another file"),
        ({"output": "link"}, ["x"], "output=link would overwrite x, which is read here; name another file"),
        ({"output": "new", "scores": "./new"}, [], "scores=./new is output=new too; name another file"),
    ],
)
def test_what_would_be_lost_or_can_not_be_written_is_told(
    here: Path, written: dict[str, str | None], read: Sequence[str | None], message: str
) -> None:
    (here / "x").write_text("mine\n")
    (here / "link").symlink_to("x")
    with pytest.raises(ConfigError) as caught:
        check_outputs(written, read)
    assert str(caught.value) == message


def test_new_files_older_ones_and_devices_are_written_to(here: Path) -> None:
    (here / "old").write_text("old\n")
    check_outputs({"output": "new", "scores": "old", "hypothesis": None}, ["other", None])
    check_outputs({"output": os.devnull, "scores": os.devnull}, [os.devnull])
    write_lines("output", os.devnull, ["a"])
    write_lines("output", "old", ["a\r", "b"])
    assert (here / "old").read_bytes() == b"a\r\nb\n"


def test_a_translation_takes_no_files_place(here: Path) -> None:
    (here / "empty").touch()
    refuse_existing("hypothesis", "empty", "")
    refuse_existing("hypothesis", "new", "")
    (here / "old").write_text("old\n")
    with pytest.raises(ConfigError, match=r"^hypothesis=old exists already, .* or delete this one; score it by X$"):
        refuse_existing("hypothesis", "old", "score it by X")


def test_results_of_files_whose_names_are_not_utf8_are_written(here: Path) -> None:
    write_results("output", "r.json", {"runs": [os.fsdecode(b"r\xff")]})
    assert (here / "r.json").read_text(encoding="utf-8") == '{\n  "runs": [\n    "r\\udcff"\n  ]\n}\n'


def test_a_write_that_fails_is_the_users_error(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"^output=no/x: No such file or directory$"):
        write_lines("output", "no/x", [])
    (here / "x").touch()
    with pytest.raises(ConfigError, match=r"^folder=x can't be made: File exists; name another one$"):
        make_folder("folder", Path("x"))
