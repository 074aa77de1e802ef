"""align.py: alignments of a model, and alignments scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.scripts import Command, Corpus, Done, Trained

from seq2seq.alignment.links import read_alignments, spell
from seq2seq.data.lines import read_lines


def words(name: str | Path) -> list[int]:
    return [len(line.split()) for line in read_lines(Path(name))]


@pytest.fixture
def texts(corpus: Corpus) -> tuple[str, str]:
    return f"{corpus.tests['a']}.de", f"{corpus.tests['a']}.en"


def test_a_translation_is_aligned_with_its_source(
    command: Command, model: str, texts: tuple[str, str], here: Path
) -> None:
    source, target = texts
    done = command("align", model, f"source={source}", f"target={target}", "output=o=,.pharaoh", "batch_size=4")
    assert (done.code, done.out) == (0, ""), done.err
    links = read_alignments(here / "o=,.pharaoh")
    for of_pair, sources, targets in zip(links, words(source), words(target), strict=True):
        assert sorted(target for _, target in of_pair) == list(range(targets))  # argmax: one for each target word
        assert all(0 <= source < sources for source, _ in of_pair)
    printed = command("align", model, f"source={source}", f"target={target}")
    assert printed.lines == read_lines(here / "o=,.pharaoh")
    assert [path.name for path in here.iterdir()] == ["o=,.pharaoh"]


def test_the_models_own_translation_is_written_beside_its_alignment(
    command: Command, trained: Trained, model: str, texts: tuple[str, str], here: Path
) -> None:
    done = command("align", model, f"source={texts[0]}", "hypothesis=h", "output=a", "search.beam_size=3")
    assert done.code == 0, done.err
    assert read_lines(here / "h") == read_lines(trained.run / "translations" / "a.hypothesis")
    targets = [{target for _, target in links} for links in read_alignments(here / "a")]
    assert targets == [set(range(size)) for size in words(here / "h")]
    again = command("align", model, f"source={texts[0]}", "hypothesis=h")
    assert again.code == 1
    assert again.err.startswith(
        "error: hypothesis=h exists already, and it is where the model's translation is written"
    )


def test_two_directions_become_one(command: Command, trained: Trained, texts: tuple[str, str], here: Path) -> None:
    """The second run is the first under the other direction's name: what matters is how the two are put together."""
    shutil.copytree(trained.run, here / "reverse")
    config = json.loads((here / "reverse" / "config.json").read_text())
    config["data"] |= {"source": "en", "target": "de"}
    (here / "reverse" / "config.json").write_text(json.dumps(config))
    source, target = texts
    files = [f"run={trained.run}", f"source={source}", f"target={target}"]
    assert command("align", *files, "output=forward").code == 0
    assert command("align", "run=reverse", f"source={target}", f"target={source}", "output=backward").code == 0
    for name in ("intersection", "union", "grow_diag_final_and"):
        assert command("align", *files, "reverse=reverse", f"symmetrize={name}", f"output={name}").code == 0
    forward, backward = read_alignments(here / "forward"), read_alignments(here / "backward")
    flipped = [frozenset((source, target) for target, source in links) for links in backward]
    both, either, grown = (read_alignments(here / name) for name in ("intersection", "union", "grow_diag_final_and"))
    assert both == [a & b for a, b in zip(forward, flipped, strict=True)]
    assert either == [a | b for a, b in zip(forward, flipped, strict=True)]
    assert all(a <= b <= c for a, b, c in zip(both, grown, either, strict=True))
    wrong = command("align", *files, f"reverse={trained.run}")
    assert wrong.err.endswith("it must be a run of en to de\n")
    assert wrong.code == 1


def test_alignments_are_scored_with_and_without_a_model(
    command: Command, model: str, texts: tuple[str, str], here: Path
) -> None:
    source, target = texts
    assert command("align", model, f"source={source}", f"target={target}", "output=a").code == 0
    links = read_alignments(here / "a")
    gold = [" ".join(f"{s + 1}-{t + 1}" for s, t in sorted(of_pair)) for of_pair in links]
    dropped = gold[0].split()[0]
    gold[0] = gold[0].replace(dropped, dropped.replace("-", "?"), 1)
    (here / "gold").write_text("".join(f"{line}\n" for line in gold))
    alone = command("align", "alignment=a", "gold=gold", "gold_base=1", "scores=s.json")
    assert alone.code == 0, alone.err
    count = sum(map(len, links))
    scores = json.loads((here / "s.json").read_text())
    expected = {"aer": 0.0, "precision": 1.0, "recall": 1.0, "sentences": 15}
    assert scores == {**expected, "links": count, "sure": count - 1, "possible": count}
    assert alone.out.splitlines()[0] == "AER             0.00  % of 15 sentence pairs"
    files = [model, f"source={source}", f"target={target}", "gold=gold"]
    whole = command("align", *files, "gold_base=1", "scores=w.json")
    assert whole.out == alone.out
    assert json.loads((here / "w.json").read_text()).items() > scores.items()
    off = command("align", *files)
    assert off.code == 1
    assert off.err.startswith("error: gold, line 1: link ")
    assert off.err.endswith("words between spaces; if its words are counted from 1, set gold_base=1\n")
    warned = command("align", "alignment=a", "gold=gold")
    assert warned.err == "warning: gold links no word 0; if its words are counted from 1, set gold_base=1\n"
    (here / "none").write_text("\n" * 15)
    nothing = command("align", "alignment=none", "gold=none")
    assert [line.split()[1] for line in nothing.lines] == ["-"] * 3
    assert spell(links[0]) == read_lines(here / "a")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "what to do? set run=FOLDER source=FILE target=FILE to align, or alignment=FILE gold=FILE to score"),
        (["alignment=a", "gold=b", "output=c"], "output is only used together with run=FOLDER"),
        (["run=r", "target=t"], "run needs source=FILE, the text to align"),
        (
            ["run=r", "source=s"],
            "set target=FILE, the translation to align with the source, or hypothesis=FILE, a file for the model's own",
        ),
        (["run=r", "source=s", "hypothesis=h", "gold=g"], "gold=FILE is of given translations; set target=FILE too"),
        (
            ["run=r", "source=s", "target=t", "output=s"],
            "output=s would overwrite s, which is read here; name another file",
        ),
        (
            ["run=r", "source=s", "target=t", "output=o", "scores=o", "gold=g"],
            "scores=o is output=o too; name another file",
        ),
        (["run=r", "source=s", "target=t", "output=."], "output=. is a folder; name a file in it"),
        (
            ["run=r", "source=s", "target=t", "output=no/o"],
            "output=no/o: there is no folder no; make it, or name another file",
        ),
        (
            ["run=r", "source=s", "target=t", "symmetrize=union"],
            "symmetrize=union makes one alignment of two; set reverse=FOLDER too",
        ),
        (["run=r", "source=s", "target=t", "threshold=0.5"], "threshold=0.5 is of extract=threshold; set it too"),
        (
            ["run=r", "source=s", "target=t", "search.beam_size=2"],
            "search options are of the model's own translation; leave them out, or set hypothesis=FILE",
        ),
        (["run=r", "source=s", "target=t", "shift=2"], "shift=2 is not allowed: it must be from -1 to 1"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(command: Command, options: list[str], message: str) -> None:
    assert command("align", *options) == Done(1, "", f"error: {message}\n")


def test_a_model_without_attention_aligns_nothing(
    command: Command, trained: Trained, corpus: Corpus, here: Path
) -> None:
    words = ["attention=none", "trainer.max_updates=1", "trainer.samples=0", "embedding_size=8", "run=r", "threads=1"]
    assert command("train", *words, *corpus.words(), "encoder.hidden_size=8", "tokenizer.vocab_size=400").code == 0
    (here / "s").write_text("ein Hund\n")
    done = command("align", "run=r", "source=s", "target=s")
    assert done == Done(1, "", "error: run=r has no attention to align by; use a model with attention\n")
