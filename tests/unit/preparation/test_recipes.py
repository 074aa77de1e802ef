"""The recipes that ship: each composes, and Multi30k's hashes are those of the real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq import composition
from seq2seq.cli import compose
from seq2seq.config import Config
from seq2seq.preparation.options import PrepareConfig
from seq2seq.preparation.prepare import prepare_corpus
from seq2seq.resources import shipped

RECIPES = sorted(path.stem for path in shipped("configs").glob("hydra/recipe/*.yaml"))
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "multi30k"


def composed(name: str) -> PrepareConfig:
    return PrepareConfig.from_dict(composition.composed("prepare_data", [f"recipe={name}"]))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_one(name: str) -> None:
    recipe = composed(name).recipe
    assert recipe.name == name
    assert recipe.sha256.keys() == recipe.files.keys()
    assert recipe.lines.keys() <= recipe.sets.keys() | {recipe.valid}
    assert recipe.markup.keys() <= recipe.sets.keys()
    assert recipe.valid in recipe.sets or recipe.hold_out
    assert all([recipe.about, recipe.licence, recipe.published, recipe.done])


@pytest.mark.parametrize("name", RECIPES)
def test_the_command_that_comes_next_composes(name: str) -> None:
    words = composed(name).recipe.options.split()
    assert isinstance(compose([*words, "data.source=de", "data.target=en", "data.train=x", "data.valid=y"]), Config)


@pytest.mark.parametrize(("name", "folder"), [("multi30k", "raw"), ("multi30k_tok", "tok")])
def test_multi30k_is_what_the_recipe_says(name: str, folder: str, tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs Multi30k in ../shared/data/multi30k")
    recipe = composed(name).recipe
    manifest = prepare_corpus(PrepareConfig(recipe, str(tmp_path), str(SHARED / folder)))
    assert {set_: made["pairs"] for set_, made in manifest["sets"].items()} == recipe.lines
    for path in (SHARED / folder).iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
