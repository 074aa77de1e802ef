"""The line over lengths, against one drawn from every pair by itself."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.lengths import LengthLimit


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=3000))
@settings(deadline=None, database=None, max_examples=50)
def test_the_line_is_fitted_to_every_pair(pairs: list[tuple[int, int]]) -> None:
    pairs = [(1, 1), *pairs]
    slope = sum(target for _, target in pairs) / sum(source for source, _ in pairs)
    rests = sorted(target - slope * source for source, target in pairs)
    rest = rests[min(len(pairs) - 1, int(0.999 * len(pairs)))]
    limit = LengthLimit.fit(Counter(pairs))
    assert limit.slope == pytest.approx(1.1 * slope, abs=1e-4)
    assert limit.offset == pytest.approx(max(0.0, 1.1 * rest) + 5, abs=1e-3)


def test_the_longest_pair_in_a_thousand_is_not_covered() -> None:
    usual = Counter({(10, 10): 2000})
    assert LengthLimit.fit(usual) == (1.1, 5.0)
    assert LengthLimit.fit(usual + Counter({(10, 60): 1})).offset < 6
    assert LengthLimit.fit(usual + Counter({(10, 60): 3})).offset > 50


def test_limits_count_the_end_and_stop_at_the_cap() -> None:
    limit = LengthLimit(1.5, 2.25)
    assert limit.limits(torch.tensor([0, 1, 2, 100]), cap=20).tolist() == [4, 5, 7, 20]
