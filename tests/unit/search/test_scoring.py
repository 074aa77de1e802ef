import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.search.scoring import LENGTH_PENALTIES, build_length_penalty

NAMES = sorted(LENGTH_PENALTIES)


def test_the_table_is_closed():
    assert NAMES == ["average", "gnmt", "none"]
    with pytest.raises(TypeError):
        LENGTH_PENALTIES["mine"] = LENGTH_PENALTIES["none"]  # type: ignore[index]


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="length_penalty=mean is unknown; choose one of none, average, gnmt"):
        build_length_penalty("mean", 1.0)


@pytest.mark.parametrize(
    ("name", "alpha", "expected"),
    [
        ("none", 1.0, -6.0),
        ("average", 1.0, -2.0),  # three tokens, EOS one of them
        ("average", 0.5, -6 / 3**0.5),
        ("average", 0.0, -6.0),
        ("gnmt", 0.0, -6.0),
        ("gnmt", 1.0, -6 / (8 / 6)),
        ("gnmt", 0.6, -6 / (8**0.6 / 6**0.6)),
    ],
)
def test_score_is_the_formula(name, alpha, expected):
    penalty = build_length_penalty(name, alpha)
    assert penalty.score(torch.tensor(-6.0), 3).item() == pytest.approx(expected)
    assert penalty.score(torch.tensor([-6.0]), torch.tensor([3])).tolist() == pytest.approx([expected])


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_slot_stays_minus_infinity(name):
    penalty = build_length_penalty(name, 1.0)
    empty = torch.tensor([[-torch.inf]])
    assert penalty.score(empty, 4).item() == -torch.inf
    assert penalty.bound(empty, 4, torch.tensor([[9]])).item() == -torch.inf
    assert penalty.bound(empty, 9, torch.tensor([[9]])).item() == -torch.inf


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    name=st.sampled_from(NAMES),
    alpha=st.floats(-1, 2),
    log_prob=st.floats(-50, 0),
    length=st.integers(0, 20),
    room=st.integers(1, 20),
)
def test_bound_is_the_best_that_can_still_be_reached(name, alpha, log_prob, length, room):
    penalty = build_length_penalty(name, alpha)
    live = torch.tensor(log_prob, dtype=torch.float64)
    bound = penalty.bound(live, length, length + room).item()
    reachable = [
        penalty.score(live - fall, end).item()
        for end in range(length + 1, length + room + 1)
        for fall in (0.0, 1e-3, 0.7, 9.0)
    ]
    assert all(score <= bound + 1e-9 for score in reachable)
    assert max(reachable) == pytest.approx(bound)  # and no looser than need be


def test_bound_takes_each_sentence_s_own_max_length():
    penalty = build_length_penalty("average", 1.0)
    bounds = penalty.bound(torch.tensor([[-6.0, -3.0], [-6.0, -3.0]]), 2, torch.tensor([[3], [6]]))
    assert bounds.tolist() == [[-2.0, -1.0], [-1.0, -0.5]]
