"""A recipe's files become sets with a manifest; other files than the recipe's become errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import ConfigError, DataError
from seq2seq.preparation.download import FetchError
from seq2seq.preparation.options import PrepareConfig
from seq2seq.preparation.prepare import prepare_corpus, show

NAMES = ["train.de.gz", "train.en.gz", "test.de.gz", "test.en.gz"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def numbers(count: int) -> str:
    return "".join(f"{number}\n" for number in range(1, count + 1))


def recipe(**changes: Any) -> dict[str, Any]:
    """Four packed files, of which the training text has 50 lines."""
    texts = dict(zip(NAMES, [numbers(50), numbers(50), "a\n", "b\n"], strict=True))
    return {
        "name": "small",
        "about": "A corpus.",
        "licence": "free",
        "source": "de",
        "target": "en",
        "files": {name: f"https://nowhere.invalid/{name}" for name in NAMES},
        "sha256": {name: digest(text) for name, text in texts.items()},
        "sets": {"train": ["train.{language}.gz"], "test": ["test.{language}.gz"]},
        **changes,
    }


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """What the recipe asks for: one side packed, the other not."""
    folder = tmp_path / "local"
    folder.mkdir()
    (folder / "train.de.gz").write_bytes(gzip.compress(numbers(50).encode()))
    (folder / "train.en").write_text(numbers(50), encoding="utf-8")
    (folder / "test.de").write_text("a\n", encoding="utf-8")
    (folder / "test.en.gz").write_bytes(gzip.compress(b"b\n"))
    return folder


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What was logged; log_to_terminal, in another test, may have stopped it from getting here."""
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    return lambda: caplog.messages


def prepared(folder: Path, local: Path | None, **changes: Any) -> dict[str, Any]:
    plain = {"recipe": recipe(**changes), "folder": str(folder), "local": None if local is None else str(local)}
    return prepare_corpus(PrepareConfig.from_dict(plain))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_files_hashes_and_the_next_command(tmp_path: Path, local: Path) -> None:
    folder = tmp_path / "made here"
    manifest = prepared(folder, local)
    assert (folder / "train.de").read_text(encoding="utf-8") == numbers(50)
    assert (folder / "test.en").read_text(encoding="utf-8") == "b\n"
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8")) == manifest
    assert manifest["sets"]["train"] == {
        "pairs": 50,
        "sha256": {"train.de": digest(numbers(50)), "train.en": digest(numbers(50))},
        "dropped": 0,
        "held_out": 0,
    }
    assert manifest["files"]["test.en.gz"] == {"from": str(local / "test.en.gz"), "sha256": digest("b\n")}
    assert show(manifest).splitlines()[-1] == (
        f"python scripts/train.py data.source=de data.target=en 'data.train={folder}/train' 'data.test={folder}/test'"
    )


def test_every_23rd_pair_is_held_out(tmp_path: Path, local: Path) -> None:
    """fairseq: awk '{if (NR%23 == 0) print $0; }' is valid."""
    manifest = prepared(tmp_path / "made", local, hold_out=23)
    assert lines(tmp_path / "made" / "valid.de") == lines(tmp_path / "made" / "valid.en") == ["23", "46"]
    assert lines(tmp_path / "made" / "train.de") == [str(n) for n in range(1, 51) if n not in (23, 46)]
    assert (manifest["sets"]["train"]["pairs"], manifest["sets"]["train"]["held_out"]) == (48, 2)
    assert "data.valid=" in manifest["next"]


def test_pairs_are_held_out_of_those_that_are_left(tmp_path: Path, local: Path) -> None:
    """Ten pairs of 50 go for their length: the 2nd, 4th, ... of the others are held out."""
    text = "".join("x x\n" if n % 5 == 0 else f"{n}\n" for n in range(50))
    (local / "train.en").write_text(text, encoding="utf-8")
    hashes = {**recipe()["sha256"], "train.en.gz": digest(text)}
    manifest = prepared(tmp_path / "made", local, hold_out=2, longest=1, sha256=hashes)
    assert lines(tmp_path / "made" / "valid.en") == [str(n) for n in range(50) if n % 5][1::2]
    assert manifest["sets"]["train"]["dropped"] == 10


def test_what_is_there_already_is_left_alone(tmp_path: Path, local: Path) -> None:
    first = prepared(tmp_path / "made", local)
    assert prepared(tmp_path / "made", None) == first  # without a look at the network
    (tmp_path / "made" / "train.de").write_text("spoilt", encoding="utf-8")
    assert prepared(tmp_path / "made", local) == first
    assert lines(tmp_path / "made" / "train.de")[0] == "1"


def test_a_manifest_of_somebody_elses_is_left_alone(tmp_path: Path, local: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"files": []}', encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest.json is none of prepare_data.py's; set folder= to another place"):
        prepared(tmp_path, local)


def test_another_file_than_the_recipes(tmp_path: Path, local: Path) -> None:
    (local / "train.en").write_text("other\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=rf"train.en is not the file .*its SHA-256 is {digest('other' + chr(10))}, not "
    ):
        prepared(tmp_path / "made", local)
    assert not (tmp_path / "made").exists()


def test_a_file_without_a_known_hash_is_trusted_once(
    tmp_path: Path, local: Path, said: Callable[[], list[str]]
) -> None:
    unknown = {**recipe()["sha256"], "test.de.gz": None}
    manifest = prepared(tmp_path / "made", local, sha256=unknown)
    assert f"test.de.gz: no public SHA-256 to compare with; this one has {digest('a' + chr(10))}" in said()[0]
    assert manifest["files"]["test.de.gz"]["sha256"] == digest("a\n")
    (local / "test.de").write_text("another\n", encoding="utf-8")
    (tmp_path / "made" / "test.de").unlink()
    with pytest.raises(DataError, match=r"test.de is not the file that the recipe means"):
        prepared(tmp_path / "made", local, sha256=unknown)


def test_files_that_the_local_folder_lacks(tmp_path: Path, local: Path) -> None:
    (local / "train.en").unlink()
    with pytest.raises(DataError, match=r"local has no\n  train.en.gz: https://nowhere.invalid/train.en.gz\Z"):
        prepared(tmp_path / "made", local)


class Web:
    """Stands in for the network: what each address gives, and what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
        self.texts = {f"https://nowhere.invalid/{name}": gzip.compress(text.encode()) for name, text in texts.items()}
        self.asked: list[str] = []
        monkeypatch.setattr("seq2seq.preparation.sources.fetch", self.fetch)

    def fetch(self, url: str, path: Path, expected: str | None) -> None:
        self.asked.append(url.rpartition("/")[2])
        if url not in self.texts:
            raise FetchError(f"{url} can't be reached: no network")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.texts[url])


TEXTS = {"train.de.gz": numbers(50), "train.en.gz": numbers(50), "test.de.gz": "a\n", "test.en.gz": "b\n"}


def test_what_is_fetched_stays_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(monkeypatch, **TEXTS)
    manifest = prepared(tmp_path / "made", None)
    assert manifest["files"]["test.de.gz"] == {
        "from": "https://nowhere.invalid/test.de.gz",
        "sha256": digest("a\n"),
    }
    (tmp_path / "made" / "test.de").unlink()
    (tmp_path / "made" / "downloads" / "train.en.gz").write_bytes(gzip.compress(b"spoilt"))
    assert prepared(tmp_path / "made", None) == manifest
    assert web.asked == [*NAMES, "train.en.gz"]


def test_a_wrong_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Web(monkeypatch, **{**TEXTS, "train.en.gz": "an error page"})
    with pytest.raises(
        DataError, match=r"train.en.gz is not the file that the recipe means: its SHA-256 is [0-9a-f]{64}"
    ):
        prepared(tmp_path / "made", None)
    assert [path.name for path in (tmp_path / "made" / "downloads").iterdir()] == ["train.de.gz"]
    Web(monkeypatch, **TEXTS)
    assert prepared(tmp_path / "made", None)["sets"]["train"]["pairs"] == 50


def test_without_a_network_it_says_what_to_fetch_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Web(monkeypatch)
    with pytest.raises(DataError) as caught:
        prepared(tmp_path / "made", None)
    assert str(caught.value).splitlines() == [
        "https://nowhere.invalid/train.de.gz can't be reached: no network",
        "if it stays so, fetch these by hand into one folder, and add local=FOLDER:",
        *(f"  https://nowhere.invalid/{name}" for name in NAMES),
    ]
    assert not (tmp_path / "made").exists()


def test_a_packed_file_that_is_cut_off(tmp_path: Path, local: Path) -> None:
    (local / "train.de.gz").write_bytes((local / "train.de.gz").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"train.de.gz: not a complete gzip file"):
        prepared(tmp_path / "made", local)


def test_lines_that_are_not_as_many_as_expected(tmp_path: Path, local: Path, said: Callable[[], list[str]]) -> None:
    prepared(tmp_path / "made", local, lines={"train": 51, "test": 1})
    assert said() == ["train has 50 pairs, where 51 are expected"]


def test_sides_of_unequal_length_leave_nothing_half_made(tmp_path: Path, local: Path) -> None:
    (local / "test.en.gz").write_bytes(gzip.compress(b"b\nc\n"))
    hashes = {**recipe()["sha256"], "test.en.gz": digest("b\nc\n")}
    with pytest.raises(DataError, match=r"test.de has 1 sentences, but .*test.en.gz has more"):
        prepared(tmp_path / "made", local, sha256=hashes)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["train.de", "train.en"]


def test_members_of_an_archive_one_after_the_other(tmp_path: Path) -> None:
    """Two parts make the test set, and source and target may have names of their own."""
    members = {"x/a.de.xml": '<seg id="1"> eins </seg>\n', "x/a.en.xml": '<seg id="1"> one </seg>\n',
               "x/quelle": '<seg id="1">zwei</seg>\n', "x/ziel": '<seg id="1">two</seg>\n',
               "x/train.de": "<url>u</url>\n<title>Titel</title>\n", "x/train.en": "<url>u</url>\nTitle\n"}  # fmt: skip
    (tmp_path / "local").mkdir()
    with tarfile.open(tmp_path / "local" / "all.tgz", "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    manifest = prepared(
        tmp_path / "made",
        tmp_path / "local",
        files={"all.tgz": "http://nowhere.invalid/all.tgz"},
        sha256={"all.tgz": hashlib.sha256((tmp_path / "local" / "all.tgz").read_bytes()).hexdigest()},
        sets={"train": ["all.tgz:x/train.{language}"],
              "test": ["all.tgz:x/a.{language}.xml", "all.tgz:x/quelle all.tgz:x/ziel"]},
        markup={"train": "talks", "test": "segments"},
    )  # fmt: skip
    assert lines(tmp_path / "made" / "train.de") == ["Titel"]
    assert lines(tmp_path / "made" / "test.de") == ["eins", "zwei"]
    assert lines(tmp_path / "made" / "test.en") == ["one", "two"]
    assert manifest["sets"]["test"]["pairs"] == 2
    assert not list((tmp_path / "made").rglob("unpacked"))


def test_tokens_are_written_lowercased(tmp_path: Path, local: Path) -> None:
    pytest.importorskip("sacremoses", reason="pip install 'seq2seq[moses]'")
    (local / "test.de").write_text("Ein Hund, z.B.!\n", encoding="utf-8")
    hashes = {**recipe()["sha256"], "test.de.gz": digest("Ein Hund, z.B.!\n")}
    prepared(tmp_path / "made", local, sha256=hashes, moses=True, written="tokens", lowercase=True)
    assert lines(tmp_path / "made" / "test.de") == ["ein hund , z.b. !"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"files": {"train.de.gz": "ftp://a/b"}}, "recipe.files.train.de.gz=ftp://a/b is not allowed"),
        ({"files": {"../x": "https://a/b"}}, "'../x' is no name of a file"),
        ({"valid": "a/b"}, "'a/b' is no name of a file"),
        ({"sha256": {"train.de.gz": "12"}}, "recipe.sha256.train.de.gz=12 is not allowed"),
        ({"sets": {"train": ["other"]}}, "recipe.sets.train needs the file other, which recipe.files doesn't have"),
        ({"sets": {"test": ["test.{language}.gz"]}}, "recipe.sets must have a set called train"),
        ({"written": "tokens"}, "recipe.written=tokens needs recipe.moses=true"),
        ({"name": ""}, "which corpus? set recipe=NAME"),
    ],
)
def test_a_recipe_that_cannot_be(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PrepareConfig.from_dict({"recipe": recipe(**changes)})
    assert fault in str(caught.value)
