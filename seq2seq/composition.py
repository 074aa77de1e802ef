"""Hydra: from a command line to plain options, for one job or for a sweep."""

from __future__ import annotations

import re
import string
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import load_plugins
from seq2seq.errors import Seq2SeqError
from seq2seq.resources import shipped
from seq2seq.schema import COMPONENTS, did_you_mean

FAULTS = (HydraException, OmegaConfBaseException)  # what composing raises where the words are wrong; see `reworded`
WITH_COMPONENTS = ("train", "benchmark")  # the commands whose configs are made of groups
OWN_GROUPS = {  # of commands without components: folders in configs
    "compare": "hydra/table",
    "prepare_data": "hydra/recipe",
    **dict.fromkeys(("translate", "evaluate", "plot"), "search"),
}
HYDRAS_OWN = re.compile("-|[+~]*hydra")  # words that only Hydra's own main function understands


class Job(NamedTuple):
    """Options to work on, and where they come from."""

    plain: dict[str, Any]
    words: list[str]  # of the command line
    sweep: tuple[int, Path] | None = None  # of one in a sweep: its number, and the sweep's folder


def run(command: str, words: Sequence[str], task: Callable[[Job], None]) -> None:
    """Calls `task` with the options that `words` stand for, or with each job of a sweep in turn; or shows the help.

    A plain command line is composed once. Hydra's own main function composes twice, makes a folder and sets up logging:
    that is for sweeps and Hydra's flags. For its help it copies all configs once for each group.

    Raises:
        FAULTS: the words make no config.
        Seq2SeqError: the first that `task` raised, after the last job.
    """
    if list(words) in (["--help"], ["-h"]):
        sys.stdout.write(_help(command))
    elif not swept(words) and not any(map(HYDRAS_OWN.match, words)):
        task(Job(composed(command, words), list(words)))
    else:
        _run_hydra(command, words, task)


def composed(command: str, words: Iterable[str]) -> dict[str, Any]:
    """The plain options that these words stand for."""
    with _initialized(command):
        return _plain(hydra.compose(command, list(words)))


def groups(command: str) -> list[str]:
    """The names of config groups."""
    if command not in WITH_COMPONENTS:
        return ["hydra", Path(OWN_GROUPS[command]).name] if command in OWN_GROUPS else ["hydra"]
    return [path.name for path in shipped("configs").iterdir() if path.is_dir()]


def keys(words: Iterable[str]) -> list[str]:
    """What the words that set something set: `seed` of `seed=1`."""
    return [override.key_or_group for override in _parsed(words)]


def swept(words: Iterable[str]) -> set[str]:
    """The keys that have several values: `seed` of `seed=1,2`."""
    return {override.key_or_group for override in _parsed(words) if override.is_sweep_override()}


def reworded(error: Exception) -> str:
    """Hydra's message as ours: a mistyped choice of a group gets a suggestion, the rest its first lines."""
    missing = getattr(error, "missing_cfg_file", None)
    options = getattr(error, "options", None)
    if missing and options:
        group, _, name = str(missing).rpartition("/")
        return f"unknown {group}={name}{did_you_mean(name, options)}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:3]) or type(error).__name__


def _run_hydra(command: str, words: Sequence[str], task: Callable[[Job], None]) -> None:
    failures: list[Exception] = []

    def job(config: DictConfig) -> None:
        try:
            task(_job(config))
        except (Seq2SeqError, OmegaConfBaseException, BrokenPipeError) as error:
            failures.append(error)  # raised again below: what leaves a job, Hydra reports in its own words

    _prepare(command)
    sys.argv[1:] = words
    hydra.main(version_base="1.3", config_path=str(_folder(command)), config_name=command)(job)()
    if failures:
        raise failures[0]


def _job(config: DictConfig) -> Job:
    """What Hydra's main function gives."""
    settings = HydraConfig.get()
    many = settings.mode == RunMode.MULTIRUN
    sweep = (settings.job.num, Path(settings.sweep.dir)) if many else None
    return Job(_plain(config), list(settings.overrides.task), sweep)


def _help(command: str) -> str:
    """What Hydra shows for --help."""
    with _initialized(command) as loader:
        config = hydra.compose(command, return_hydra_config=True)
        names = {group: sorted(loader.get_group_options(group)) for group in sorted(groups(command))}
    template = string.Template(config.hydra.help.template)
    components = "".join(f"{group}: {', '.join(names[group])}\n" for group in names if group != "hydra")
    options = OmegaConf.to_yaml(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    return template.substitute(APP_CONFIG_GROUPS=components, CONFIG=options) + "\n"


@contextmanager
def _initialized(command: str) -> Iterator[Any]:
    """Hydra ready to compose for this command; gives what finds its configs."""
    _prepare(command)
    running = GlobalHydra.instance()
    outer, running.hydra = running.hydra, None  # two can't run at once, and compare.py composes inside a job
    try:
        with hydra.initialize_config_dir(str(_folder(command)), version_base="1.3"):
            yield running.config_loader()
    finally:
        running.hydra = outer


def _folder(command: str) -> Path:
    """For a command without components one that has no folders in it: Hydra takes their names for groups'.

    The components would take names from options: `attention` of translate.py is true or false.
    """
    configs = shipped("configs")
    return configs if command in WITH_COMPONENTS else configs / "hydra" / "options"


def _prepare(command: str) -> None:
    """What composing needs: where shipped files are, and the components that plugins and scripts have registered."""
    OmegaConf.register_new_resolver("shipped", lambda name: str(shipped(name)), replace=True)
    OmegaConf.register_new_resolver(
        "sweep_folder", lambda run: run or time.strftime("runs/sweeps/%Y%m%d-%H%M%S"), use_cache=True, replace=True
    )
    load_plugins()
    configs, store = shipped("configs"), ConfigStore.instance()
    for folder in OWN_GROUPS.values():  # what another command composed in this process before may have left
        store.repo.pop(Path(folder).name, None)
    if command in WITH_COMPONENTS:
        for group, components in COMPONENTS.items():
            for name, options in components.items():
                if not (configs / group / f"{name}.yaml").exists():
                    store.store(group=group, name=name, node={**asdict(options()), "name": name})
        return
    for group in COMPONENTS:  # likewise a training; see _folder
        store.repo.pop(group, None)
    store.store(name=command, node=OmegaConf.load(configs / f"{command}.yaml"))
    store.store(name=command, node=OmegaConf.load(configs / "hydra" / "help" / f"{command}.yaml"), group="hydra/help")
    for choice in (configs / OWN_GROUPS[command]).glob("*.yaml") if command in OWN_GROUPS else ():
        store.store(name=choice.stem, node=OmegaConf.load(choice), group=choice.parent.name)


def _parsed(words: Iterable[str]) -> list[Any]:
    settings = [word for word in words if "=" in word and not word.startswith("-")]
    parsed: list[Any] = OverridesParser.create().parse_overrides(settings)
    return parsed


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in ("hydra", "experiment")}
