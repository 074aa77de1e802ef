"""What README shows works as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker: str) -> str:
    match = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert match, marker
    return match[1]


@pytest.mark.slow
def test_an_attention_of_ones_own_trains_and_translates(tmp_path: Path) -> None:
    (tmp_path / "my_attention.py").write_text(block("own attention"), encoding="utf-8")
    arguments = ["attention=my_scaled", "attention.scale=2", "decoder=gru", "run=mine", "trainer.max_updates=60"]
    arguments += ["encoder.hidden_size=32", "embedding_size=32", "search.beam_size=2", "trainer.log_every=10"]
    done = subprocess.run(
        [sys.executable, "my_attention.py", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    own = {"name": "my_scaled", "attend": "after_rnn", "scale": 2.0}
    assert config["attention"].items() >= own.items()
    assert config["attention"]["window"] == "none"  # what all attentions have is its too
    metrics = [json.loads(line) for line in (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in metrics if line["kind"] == "train"]
    assert losses[-1] < losses[0] - 0.5  # it learns

    # The run needs the component, and says so where it is missing.
    translate = [sys.executable, str(ROOT / "scripts" / "translate.py"), "run=mine"]
    done = subprocess.run(translate, cwd=tmp_path, input="Hallo\n", capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "unknown attention=my_scaled" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_attention_of_ones_own_is_in_the_help(tmp_path: Path) -> None:
    (tmp_path / "my_attention.py").write_text(block("own attention"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "my_attention.py", "--cfg", "job", "attention=my_scaled"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert "name: my_scaled" in done.stdout, done.stderr


def test_the_file_names_in_readme_exist() -> None:
    for name in re.findall(r"\]\(([\w./]+)\)", README):
        assert (ROOT / name).exists(), name
