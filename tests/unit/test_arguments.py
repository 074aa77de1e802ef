"""Command-line words made safe for Hydra: every path arrives as it was typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seq2seq.arguments import PATH_KEYS, prepare, quote_paths
from seq2seq.cli import compose
from seq2seq.errors import ConfigError

GROUPS = ["data", "encoder", "attention", "hydra"]
PARSER = OverridesParser.create()
TROUBLE = [*" ,=:;#~'\"\\$(){}[]<>|&*?!%@+-./äß€😀\t", "${x}", "${", "\\'", "\\\\", "a", "b", "1", "null", "true", "_"]
PATHS = st.lists(
    st.sampled_from(TROUBLE) | st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
).map("".join)


def is_plain(path: str) -> bool:
    """Whether nothing but the path itself can be meant: quoted ones, `null` and homes have a meaning of their own."""
    return path != "null" and path[0] != "~" and path[0] not in "'\""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrives(quoted: str) -> Any:
    """What Hydra's parser and then OmegaConf make of the quoted value."""
    override = PARSER.parse_override(f"++run={quoted}")
    config = OmegaConf.create({"run": None})
    OmegaConf.update(config, "run", override.value(), merge=True)
    return OmegaConf.to_container(config, resolve=True)["run"]  # type: ignore[call-overload, index]


def sweep_of(word: str) -> list[Any]:
    override: Override = PARSER.parse_override(word)
    return list(override.sweep_iterator())


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS)
@example("a,b [c]=ü ~x")
@example("ends in a backslash\\")
@example("\\\\'\\${x}\\\\${y}\\'")
@example(" leading and trailing ")
@example("[a,b]")
@example("{a: b}")
@example("it's")
def test_any_path_arrives_as_it_was_typed(path: str) -> None:
    assume(is_plain(path))
    assert arrives(quote_paths(path, several=False)) == path


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS)
@example("a,b [c]=ü ~x\\")
def test_any_path_arrives_through_the_whole_of_hydra(path: str) -> None:
    assume(is_plain(path))
    config = compose([f"run={path}", f"data.valid={path}"])
    assert (config.run, config.data.valid) == (path, path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PATHS, max_size=4))
def test_any_paths_arrive_in_a_list(paths: list[str]) -> None:
    paths = [path.strip() for path in paths]
    assume(all(path and is_plain(path) and not set(path) & set(",[]{}:\"'") for path in paths))
    assert arrives(quote_paths("[" + ", ".join(paths) + "]")) == paths


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PATHS, max_size=3))
def test_any_paths_arrive_in_a_mapping(paths: list[str]) -> None:
    paths = [path.strip() for path in paths]
    assume(all(path and is_plain(path) and not set(path) & set(",[]{}\"'") for path in paths))
    text = ", ".join(f"test-{i}: {path}" for i, path in enumerate(paths))
    assert arrives(quote_paths("{" + text + "}")) == {f"test-{i}": path for i, path in enumerate(paths)}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("['a,b', c]", ["a,b", "c"]),
        ("""["it's",'x\\'y']""", ["it's", "x'y"]),
        ("[it's,that's]", ["it's", "that's"]),
        ("[a[1],b]", ["a[1]", "b"]),
        ("[a=b,c d]", ["a=b", "c d"]),
        ("[]", []),
        ("{a: 'x,y', b: z}", {"a": "x,y", "b": "z"}),
        ("{a: C:\\x, b: it's}", {"a": "C:\\x", "b": "it's"}),
        ("'in quotes, all'", "in quotes, all"),
        ('"in, quotes"', "in, quotes"),
        ("'a' and 'b'", "'a' and 'b'"),
        ("'", "'"),
        ("'open\\'", "'open\\'"),
        ("a,b", "a,b"),
        ("[half", "[half"),
        ("null", None),
        ("", ""),
    ],
)
def test_lists_mappings_and_quotes(typed: str, meant: Any) -> None:
    assert arrives(quote_paths(typed)) == meant


def test_what_exists_is_one_path_whatever_it_is_called(empty_folder: Path) -> None:
    for name in ("[a,b]", "{a: b}", "'quoted'", "~home", "a,b"):
        (empty_folder / name).touch()
        assert arrives(quote_paths(name)) == name
        assert arrives(quote_paths(name, sweep=True)) == name


def test_in_a_list_too_a_comma_may_belong_to_a_name_that_exists(empty_folder: Path) -> None:
    for name in ("attention=none,seed=1", "attention=none,seed=2", "c"):
        (empty_folder / name).touch()
    assert arrives(quote_paths("[attention=none,seed=1,attention=none,seed=2, c, attention=none,seed=3]")) == [
        *("attention=none,seed=1", "attention=none,seed=2", "c"),
        *("attention=none", "seed=3"),
    ]


def test_so_is_what_names_two_sides_that_exist(empty_folder: Path) -> None:
    assert arrives(quote_paths("[a,b]")) == ["a", "b"]
    (empty_folder / "[a,b].de.gz").touch()
    assert arrives(quote_paths("[a,b]")) == "[a,b]"


def test_a_long_list_is_not_taken_for_a_long_name() -> None:
    names = [f"file{i}" for i in range(300)]
    assert arrives(quote_paths("[" + ",".join(names) + "]")) == names


def test_a_home_is_expanded() -> None:
    home = os.path.expanduser("~")
    assert arrives(quote_paths("~/x,y")) == f"{home}/x,y"
    assert arrives(quote_paths("[~/x,y]")) == [f"{home}/x", "y"]
    assert arrives(quote_paths("'~/x'")) == "~/x"
    assert compose(["run=~/x [y]"]).run == f"{home}/x [y]"


@pytest.mark.parametrize("key", sorted(PATH_KEYS))
def test_every_path_key_is_quoted(key: str) -> None:
    (word,) = [word for word in prepare([f"{key}=a,b=(c)"], GROUPS) if word != "data=files"]
    assert word == f"++{key}='a,b=(c)'"


def test_only_keys_that_take_several_paths_know_brackets() -> None:
    assert prepare(["output=[a,b]", "init={a}"], GROUPS) == ["++output='[a,b]'", "++init='{a}'"]
    assert prepare(["reference=[a,b]", "run=[a b,c]"], GROUPS) == ["++reference=['a','b']", "++run=['a b','c']"]


def test_commas_separate_paths_in_a_sweep(empty_folder: Path) -> None:
    (word,) = prepare(["-m", "init=a b,c=d"], GROUPS)[1:]
    assert [value.text for value in sweep_of(word)] == ["a b", "c=d"]
    word = prepare(["--multirun", "data.train=[a,b],[c]"], GROUPS)[1]
    assert [[item.text for item in value] for value in sweep_of(word)] == [["a", "b"], ["c"]]
    (empty_folder / "a,b").touch()
    assert prepare(["-m", "init=a,b"], GROUPS) == ["-m", "++init='a,b'"]


@pytest.mark.parametrize("key", ["data.train", "data.valid", "data.test"])
def test_naming_files_drops_the_corpus_that_ships(key: str) -> None:
    assert prepare([f"{key}=x"], GROUPS) == [f"++{key}='x'", "data=files"]
    assert prepare([f"++{key}=x"], GROUPS)[-1] == "data=files"
    assert prepare([f"{key}=x", "data=tiny"], GROUPS) == [f"++{key}='x'", "data=tiny"]
    assert prepare(["data=files", f"{key}=x"], GROUPS) == ["data=files", f"++{key}='x'"]


def test_other_keys_of_data_keep_it() -> None:
    assert prepare(["data.max_length=5", "data.source=fr"], GROUPS) == ["++data.max_length=5", "++data.source=fr"]


def test_files_of_ones_own_bring_the_defaults_for_real_corpora() -> None:
    tiny, own = compose(), compose(["data.train=x", "data.valid=y"])
    assert (tiny.tokenizer.vocab_size, tiny.embedding_size, tiny.encoder_size) == (600, 128, 2 * 128)
    assert (own.tokenizer.vocab_size, own.embedding_size, own.encoder_size) == ("auto", 256, 2 * 256)
    assert own.data.test is None
    assert compose(["data=tiny", "data.test=t"]).data.train == tiny.data.train


@pytest.mark.parametrize(
    "word",
    ["--help", "-m", "--cfg", "hydra.verbose=true", "encoder=gru", "data=tiny", "~data.test", "encoder@x=gru"],
)
def test_what_is_hydras_stays(word: str) -> None:
    assert prepare([word], GROUPS) == [word]


def test_flags_come_first_with_their_values() -> None:
    words = ["seed=1", "--cfg", "job", "encoder=gru", "-m"]
    assert prepare(words, GROUPS) == ["--cfg", "job", "-m", "++seed=1", "encoder=gru"]


def test_the_value_of_an_option_is_no_override() -> None:
    assert prepare(["--config-dir", "seed=1", "seed=1"], GROUPS) == ["--config-dir", "seed=1", "++seed=1"]


@pytest.mark.parametrize("word", ["+sed=1", "++sed=1", "sed=1"])
def test_unknown_keys_reach_the_strict_constructor(word: str) -> None:
    with pytest.raises(ConfigError, match=r"^unknown option sed: did you mean seed\?$"):
        compose([word])


def test_unknown_keys_inside_groups_too() -> None:
    with pytest.raises(ConfigError, match=r"^unknown option attention\.at; allowed are attention\.name, "):
        compose(["+attention.at=4"])


def test_an_unknown_choice_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"^unknown attention=bahdanu: did you mean bahdanau\?$"):
        compose(["attention=bahdanu"])
    with pytest.raises(ConfigError, match="did you mean attention"):
        compose(["atention=bahdanau"])


def test_what_hydra_cannot_parse_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        compose(["seed=[1"])
    with pytest.raises(ConfigError):
        compose(["just words"])


@pytest.mark.parametrize(("whole", "part"), [("trainer=3", "trainer.max_epochs=2"), ("data.test=Q", "data.test.a.b=P")])
def test_an_option_is_not_given_beside_its_parts(whole: str, part: str) -> None:
    """Hydra would drop the one that comes first, without a word."""
    for words in ([whole, "seed=2", part], [part, "seed=2", whole]):
        with pytest.raises(ConfigError) as caught:
            prepare(words, GROUPS)
        assert str(caught.value) == f"{whole} and {part} contradict each other: leave one of them out"


def test_parts_of_a_group_a_mapping_or_of_what_is_emptied_may_be_given_beside_it() -> None:
    composed = compose(["encoder=gru", "encoder.hidden_size=3", "data.test={a: P}", "data.test.b=Q"])
    assert (composed.encoder.name, composed.encoder.hidden_size) == ("gru", 3)
    assert composed.data.tests() == {"a": "P", "b": "Q"}
    assert compose(["data.test=null", "data.test.b=Q"]).data.tests() == {"b": "Q"}
