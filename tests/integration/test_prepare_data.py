"""prepare_data.py and its check as a user runs them, from another working directory."""

from __future__ import annotations

import gzip
import hashlib
import json
import shlex
from pathlib import Path

from support.scripts import ODD, Done, script, tiny, write_pairs


def test_a_corpus_is_prepared_checked_and_trained_on(tmp_path: Path) -> None:
    local = tmp_path / ODD
    local.mkdir()
    words = []
    for part, (start, end) in {"train": (0, 40), "val": (40, 50), "test_2016_flickr": (50, 60)}.items():
        for side, lines in zip(("de", "en"), tiny("train", start, end), strict=True):
            content = "".join(f"{line}\n" for line in lines).encode()
            (local / f"{part}.{side}.gz").write_bytes(gzip.compress(content))
            words.append(f"recipe.sha256.{part}.{side}.gz={hashlib.sha256(content).hexdigest()}")
    flat = {word.partition("=")[0].removeprefix("recipe.sha256."): word.partition("=")[2] for word in words}
    hashes = ",".join(f"{name}:'{digest}'" for name, digest in flat.items())
    done = script(
        "prepare_data", "recipe=multi30k", f"recipe.sha256={{{hashes}}}", f"local={local}", "folder=made", cwd=tmp_path
    )
    assert (done.code, done.err) == (0, WARNED)
    command = shlex.split(done.lines[-1])
    assert command[:2] == ["python", "scripts/train.py"]
    planned = script("train", *command[2:], "dry_run=true", "tokenizer.vocab_size=400", cwd=tmp_path)
    assert planned.code == 0, planned.err

    data = [word for word in command if word.startswith("data.")]
    checked = script("prepare_data", "check", *data, "output=found.json", cwd=tmp_path)
    assert (checked.code, checked.err) == (0, "")
    assert "train: 40 pairs, made/train.de, made/train.en" in checked.out
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["texts"]["train"]["pairs"] == 40


WARNED = (
    "warning: train has 40 pairs, where 29,000 are expected\n"
    "warning: val has 10 pairs, where 1,014 are expected\n"
    "warning: test_2016_flickr has 10 pairs, where 1,000 are expected\n"
)


def error(done: Done) -> str:
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    return done.err.removeprefix("error: ").strip()


def test_errors_are_one_line(tmp_path: Path) -> None:
    assert error(script("prepare_data", cwd=tmp_path)) == (
        "which corpus? set recipe=NAME; prepare_data.py --help lists them"
    )
    assert error(script("prepare_data", "recipe=multi3k", cwd=tmp_path)) == (
        "unknown recipe=multi3k: did you mean multi30k?"
    )
    prefix = write_pairs(tmp_path / "t", ["a", "b"], ["c"])
    assert "has 2 lines but" in error(script("prepare_data", "check", f"data.train={prefix}", cwd=tmp_path))
    assert "did you mean tokenizer?" in error(script("prepare_data", "check", "tokeniser=x", cwd=tmp_path))
