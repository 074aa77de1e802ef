"""A command line composed in the short way: the same options, help and errors as by Hydra's own main function."""

import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from seq2seq import composition
from seq2seq.composition import FAULTS, Job, groups, reworded, run
from seq2seq.schema import COMPONENTS

BY_HYDRA = "hydra.verbose=false"  # changes nothing, but only Hydra's main function understands it
LINES = [
    ("train", []),
    ("train", ["encoder=gru", "attention=bahdanau", "++trainer.max_epochs=3", "++run='a, b'"]),
    ("train", ["data=files", "++data.train='x'", "~data.cache", "++unknown=1"]),
    ("translate", ["++run='x'", "++search.beam_size=2", "++attention=true"]),
    ("evaluate", ["++reference=['a','b']"]),
    ("compare", ["table=attentions", "++only=[a]"]),
    ("prepare_data", ["recipe=iwslt14_de_en_tok", "++recipe.longest=80"]),
    ("check_data", ["++data.train=['a','b']"]),
    ("benchmark", ["decoder=gru"]),
]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hydra reads the process's words, may leave folders, and keeps what other commands have stored."""
    for group in ("table", "recipe", *COMPONENTS):
        monkeypatch.delitem(ConfigStore.instance().repo, group, raising=False)
    monkeypatch.setattr(sys, "argv", ["script"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.chdir(tmp_path)


def jobs(command: str, words: list[str]) -> list[Job]:
    found: list[Job] = []
    run(command, words, found.append)
    return found


@pytest.mark.parametrize(("command", "words"), LINES)
def test_a_plain_command_line_means_what_it_means_to_hydra(command: str, words: list[str]) -> None:
    (own,), (hydras,) = jobs(command, words), jobs(command, [*words, BY_HYDRA])
    assert own.plain == hydras.plain
    assert own.words == hydras.words == words
    assert own.sweep is hydras.sweep is None


@pytest.mark.parametrize("command", ["train", "translate", "compare"])  # made of components, of options, with a table
def test_the_help_is_hydras(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert jobs(command, ["--help"]) == []
    own = capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        jobs(command, ["--help", BY_HYDRA])
    assert ended.value.code == 0
    assert own == capsys.readouterr().out
    assert "key=value" in own


@pytest.mark.parametrize(
    "words",
    [
        ["encoder=grru"],
        ["trainer.max_epochs=3"],
        ["++trainer.max_epochs=["],
        ["++seed=1,2"],
        ["++run=${nowhere}"],
        ["++run=${oc.env:NOWHERE_SET}"],
    ],
)
def test_an_error_reads_as_hydras(words: list[str]) -> None:
    said = []
    for line in (words, [*words, BY_HYDRA]):
        try:
            said.append(repr(jobs("train", line)[0].plain))
        except FAULTS as error:
            said.append(reworded(error))
    assert said[0] == said[1]


def test_a_sweep_is_hydras() -> None:
    found = jobs("train", ["++seed=1,2", "-m"])
    assert [job.plain["seed"] for job in found] == [1, 2]
    assert [job.words for job in found] == [["++seed=1"], ["++seed=2"]]
    assert [job.sweep and job.sweep[0] for job in found] == [0, 1]


def test_a_plain_command_line_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, compose = [], composition.hydra.compose

    def counted(*arguments: object, **options: object) -> object:
        composed.append(arguments)
        return compose(*arguments, **options)

    monkeypatch.setattr(composition.hydra, "compose", counted)
    monkeypatch.setattr(composition.hydra, "main", None)
    assert len(jobs("translate", ["++run='x'"])) == 1
    assert len(composed) == 1


def test_a_job_may_compose_again() -> None:
    """compare.py composes its rows while it runs."""
    inner: list[int] = []

    def task(_: Job) -> None:
        inner.append(composition.composed("train", ["++seed=3"])["seed"])

    run("compare", [], task)
    run("compare", [BY_HYDRA], task)
    assert inner == [3, 3]


def test_groups_are_the_folders_of_configs() -> None:
    assert {"encoder", "attention", "decoder", "experiment"} <= set(groups("train"))
    assert groups("align") == ["hydra"]
    assert groups("translate") == groups("evaluate") == groups("plot") == ["hydra", "search"]
    assert groups("compare") == ["hydra", "table"]
    assert groups("prepare_data") == ["hydra", "recipe"]


@pytest.mark.parametrize(("command", "name"), [("translate", "sampling"), ("evaluate", "greedy"), ("plot", "beam")])
def test_a_search_may_be_chosen_by_name_when_a_run_is_used(command: str, name: str) -> None:
    """It is the one that a training has by that name, whatever the run's own is; a word beside it sets an option."""
    of_training = jobs("train", [f"search={name}"])[0].plain["search"]
    assert jobs(command, [f"search={name}", "++search.n_best=4"])[0].plain["search"] == {**of_training, "n_best": 4}
    assert set(jobs(command, [])[0].plain["search"].values()) == {None}


def test_a_training_leaves_no_group_for_the_commands_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's attention makes `attention` a group, where translate.py has an option of that name."""
    monkeypatch.setitem(COMPONENTS, "attention", {**COMPONENTS["attention"], "mine": COMPONENTS["attention"]["cosine"]})
    assert jobs("train", ["attention=mine"])[0].plain["attention"]["name"] == "mine"
    assert jobs("translate", ["++attention=true"])[0].plain["attention"] is True
