"""Command-line words made safe for Hydra's parser: paths with any characters, and keys for the strict constructor.

Hydra's grammar gives a meaning to commas, brackets, equals signs, tildes and more. Values of path keys are therefore
quoted here before Hydra sees them. All other keys get Hydra's "add or override" prefix, so that an unknown one reaches
Config.from_dict, whose message is better.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator

from seq2seq.errors import ConfigError

SEVERAL = frozenset(
    {"data.train", "data.test", "hypothesis", "reference", "reverse", "run"}
)  # take lists or mappings of paths too
PATH_KEYS = SEVERAL | {
    "init",
    "data.cache",
    "data.valid",
    "tokenizer.model",
    "input",
    "output",
    "source",
    "target",
    "alignment",
    "gold",
    "scores",
    "folder",
    "local",
    "tokenizer",
}
TEXT_KEYS = re.compile(
    r"text|common|table\.(common|rows\.[\w-]+)"
)  # plot.py's sentence; compare.py's words of train.py's
DATA_KEYS = frozenset({"data.train", "data.valid", "data.test"})
MOST_PARTS = 20  # parts of a list that are tried as one path
_OVERRIDE = re.compile(r"(?P<prefix>\+{0,2})(?P<key>[\w./@-]+)=(?P<value>.*)", re.DOTALL)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
# Hydra's flags, but for -r and --run, which do nothing and look like run=FOLDER
_VALUED_FLAGS = frozenset(
    [
        *("-c", "--cfg", "-cn", "--config-name", "-cp", "--config-path", "-cd", "--config-dir"),
        *("-p", "--package", "-i", "--info", "--experimental-rerun"),
    ]
)
_FLAGS = _VALUED_FLAGS | {
    *("-h", "--help", "--hydra-help", "--version", "--resolve"),
    *("-m", "--multirun", "-sc", "--shell-completion"),
}


def prepare(arguments: Iterable[str], groups: Collection[str]) -> list[str]:
    """The words after the program's name, as Hydra should see them; `groups` are the names of config groups.

    Flags come first: Hydra takes no option behind one that stands among options.

    Raises:
        ConfigError: a word is neither.
    """
    words = list(arguments)
    sweep = any(word in ("-m", "--multirun") for word in words)
    flags = list(_flags(words))
    _contradictions(words, groups)
    prepared = []
    for word in (word for i, word in enumerate(words) if i not in flags):
        match = _OVERRIDE.fullmatch(word)
        if match is None or match["key"].startswith("hydra") or match["key"] in groups or "@" in match["key"]:
            prepared.append(word)
            continue
        value = match["value"]
        if match["key"] in PATH_KEYS:
            value = quote_paths(value, sweep, several=match["key"] in SEVERAL)
        elif TEXT_KEYS.fullmatch(match["key"]) and value not in ("", "null"):
            value = _quote(value)
        prepared.append(f"++{match['key']}={value}")
    return [words[i] for i in flags] + prepared + (_data_group(words) if "data" in groups else [])


def _contradictions(words: list[str], groups: Collection[str]) -> None:
    """ConfigError where one word gives an option a value and another one of its parts, of which Hydra drops one."""
    options = [match for word in words if (match := _OVERRIDE.fullmatch(word)) and match["key"] not in groups]
    whole = {match["key"]: match.string for match in options if not re.match("null$|{|$", match["value"])}
    for match in options:
        key = match["key"]
        while key := key.rpartition(".")[0]:
            if key in whole:
                raise ConfigError(f"{whole[key]} and {match.string} contradict each other: leave one of them out")


def _flags(words: list[str]) -> Iterator[int]:
    """The places of Hydra's flags and of their values. ConfigError where a word is neither flag nor option."""
    takes_value = False
    for i, word in enumerate(words):
        if takes_value or word.partition("=")[0] in _FLAGS:
            yield i
        elif word.startswith("-") or ("=" not in word and not word.startswith("~")):
            key, _, value = word.lstrip("-").partition("=")
            following = words[i + 1] if i + 1 < len(words) and "=" not in words[i + 1] else "VALUE"
            example = f": {key}={value or following}" if word.startswith("-") and key else ""
            raise ConfigError(f"{word}: options are written KEY=VALUE, in one word and without dashes{example}")
        takes_value = word in _VALUED_FLAGS


def quote_paths(value: str, sweep: bool = False, several: bool = True) -> str:
    """A path, or a list or mapping of paths in Hydra's notation where there may be `several`, with every path quoted.

    What exists as it stands is one path, whatever characters it has; so is what has quotes around it. Under a sweep,
    commas separate choices.
    """
    if value in ("", "null"):
        return value
    if not _exists(value):
        if _QUOTED.fullmatch(value):
            return value
        items = _items(value)
        if sweep and len(items) > 1:
            return ",".join(quote_paths(item, several=several) for item in items)
        if several and value[0] + value[-1] == "[]":
            return "[" + ",".join(quote_paths(item) for item in _whole(_items(value[1:-1]))) + "]"
        if several and value[0] + value[-1] == "{}":
            pairs = (item.partition(":") for item in _items(value[1:-1]))
            return "{" + ",".join(f"{key.strip()}:{quote_paths(path.strip())}" for key, _, path in pairs) + "}"
        if value.startswith("~"):
            value = os.path.expanduser(value)
    return _quote(value)


def _quote(value: str) -> str:
    """Text that Hydra hands on as it is."""
    # OmegaConf looks for ${...}, and Hydra unescapes \' and the backslashes before it, as before the closing quote.
    escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return "'" + re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + (m[2] and "\\'"), escaped) + "'"


def _data_group(words: list[str]) -> list[str]:
    """Naming files of one's own drops the corpus that ships, with its sizes and limits."""
    keys = {match["key"]: match["value"] for match in map(_OVERRIDE.fullmatch, words) if match}
    return ["data=files"] if DATA_KEYS & keys.keys() and "data" not in keys else []


def _exists(path: str) -> bool:
    """Whether this is a file or folder, or the prefix of one: `[a]` where there is `[a].de`."""
    folder, name = os.path.split(path)
    try:
        return os.path.exists(path) or any(entry.startswith(f"{name}.") for entry in os.listdir(folder or "."))
    except (OSError, ValueError):
        return False


def _whole(items: list[str]) -> list[str]:
    """The items, but as one those that together name what exists: a sweep's folders have commas in their names."""
    paths = []
    while items:
        sizes = range(1, min(len(items), MOST_PARTS) + 1)
        size = next((n for n in sizes if _exists(",".join(items[:n]))), 1)
        paths.append(",".join(items[:size]))
        items = items[size:]
    return paths


def _items(text: str) -> list[str]:
    """Parts between commas, but for commas inside brackets or a whole value's quotes: `a,b: 'c,d',[e,f]` has three."""
    quoted = r"""(?:[^,:'"]*:\s*)?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?=\s*(?:,|\Z))"""
    parts = re.findall(rf"\s*(?:{quoted}|(?:\[[^\]]*\]|\{{[^}}]*\}}|[^,])+)", text)
    return [part.strip() for part in parts if part.strip()]
