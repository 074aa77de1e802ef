"""Nested state, taken apart into plain data and tensors and put together again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.errors import CheckpointError
from seq2seq.nested import apart, together

STATES: dict[str, Any] = {
    "nothing": {},
    "plain": {"a": [1, 0.1, None, True, "text", {"b": []}], "c": {}},
    "a tensor": {"a": torch.tensor([1.0, 2.0])},
    "in lists": {"a": [torch.tensor(1), 2, [torch.tensor([3]), {"b": torch.tensor(4)}]]},
    "empty tensors": {"a": torch.zeros(0, 3)},
    "names that could be confused": {
        "a": {"b": torch.tensor(1), "b/c": torch.tensor(2), "": {"b": torch.tensor(3)}},
        "a/b": torch.tensor(4),
        "a.b": torch.tensor(5),
        "a~1b": torch.tensor(6),
        "": {"": torch.tensor(7), "a": {"b": torch.tensor(8)}},
        "/": torch.tensor(9),
    },
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and one.dtype == other.dtype and one.equal(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("name", STATES)
def test_a_state_comes_back_as_it_was(name: str) -> None:
    plain, tensors = apart(STATES[name])
    assert same(together(json.loads(json.dumps(plain)), tensors), STATES[name])


def test_keys_become_text_as_json_would_make_them() -> None:
    """Before anything is hashed: JSON sorts 9 before 10 as numbers, and behind it as text."""
    plain, tensors = apart({10: torch.tensor(1), 9: {8: 2}})
    assert json.loads(json.dumps(plain)) == plain
    assert same(together(plain, tensors), {"10": torch.tensor(1), "9": {"8": 2}})


def test_the_state_may_change_afterwards() -> None:
    state: dict[str, Any] = {"scores": {"bleu": 1.0}, "list": [1]}
    plain, _ = apart(state)
    state["scores"]["bleu"] = 2.0
    state["list"].append(2)
    assert plain == {"scores": {"bleu": 1.0}, "list": [1]}


def test_tensors_that_come_back_are_ones_own() -> None:
    tensor = torch.tensor([1.0])
    back = together(*apart({"a": tensor}))
    back["a"].add_(1)
    assert tensor.item() == 1.0


@pytest.mark.parametrize("name", ["b", "", None, 5, ["a"], {"a": 1}])
def test_a_tensor_that_is_not_there(name: object) -> None:
    plain, tensors = apart({"a": torch.tensor(1)})
    (key,) = plain["a"]
    with pytest.raises(CheckpointError, match=r"^a tensor of the training state is not there$"):
        together({"x": [{key: name}]}, tensors)
