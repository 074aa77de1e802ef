"""The grouped choice of continuations, against a sort of all of them."""

import pytest
import torch

from seq2seq.grid import Grid
from seq2seq.search import ranking
from seq2seq.search.ranking import GROUP, best_continuations

VOCABULARIES = [1, 7, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP, 5 * GROUP + 37]


@pytest.fixture(autouse=True, params=["in groups", "at once"])
def _both_ways(request, monkeypatch):
    monkeypatch.setattr(ranking, "FEW", 0 if request.param == "in groups" else 10**9)


def by_sorting(totals, log_probs, count):
    """Every continuation in plain Python: (total, slot, token), falling by total and rising by slot and token."""
    found = []
    for total, rows in zip(totals, log_probs, strict=True):
        sums = (total[:, None] + rows).tolist()  # in float32, as the search adds them
        everything = [(value, slot, token) for slot, row in enumerate(sums) for token, value in enumerate(row)]
        found.append(sorted(everything, key=lambda candidate: (-candidate[0], candidate[1:]))[:count])
    return found


def chosen(totals, log_probs, count):
    """log_probs (B, K, V), of which the search has those of the slots that hold something."""
    grid = Grid.where(totals > -torch.inf, totals.device)
    found = best_continuations(totals, grid.rows(log_probs), grid, count)
    best, slots, tokens = (part.tolist() for part in found)
    return [list(zip(*rows, strict=True)) for rows in zip(best, slots, tokens, strict=True)]


@pytest.mark.parametrize("vocabulary_size", VOCABULARIES)
@pytest.mark.parametrize("slots", [1, 2, 5, 12])
@pytest.mark.parametrize("digits", [0, 1, 7])  # 0 and 1: so few values that nearly all are ties
def test_it_is_a_stable_sort_cut_short(vocabulary_size, slots, digits):
    generator = torch.Generator().manual_seed(vocabulary_size)
    log_probs = -3 * torch.rand(4, slots, vocabulary_size, generator=generator) - 0.5
    totals = -9 * torch.rand(4, slots, generator=generator)
    log_probs, totals = log_probs.round(decimals=digits), totals.round(decimals=digits)
    count = min(slots, slots * vocabulary_size)
    assert chosen(totals, log_probs, count) == by_sorting(totals, log_probs, count)


def test_neighbours_of_float32_are_not_ties():
    """Even in the last places of many slots of a large vocabulary, where a tie would go to the first."""
    log_probs = torch.full((1, 40, 9001), -1.0)
    above = torch.nextafter(torch.tensor(-1.0), torch.tensor(0.0))
    log_probs[0, 39, 9000] = above
    log_probs[0, 39, 8900] = above
    found = chosen(torch.zeros(1, 40), log_probs, 4)
    assert [place for _, *place in found[0]] == [[39, 8900], [39, 9000], [0, 0], [0, 1]]


def test_empty_slots_and_what_is_forbidden_come_last():
    log_probs = torch.full((1, 3, 2 * GROUP + 9), -torch.inf)
    log_probs[0, 1, 2 * GROUP - 3] = -4.0  # within the group before the last, short one, where their windows overlap
    log_probs[0, 1, 2 * GROUP + 8] = -2.0
    log_probs[0, 2, 5] = -1.0
    found = chosen(torch.tensor([[-1.0, -1.0, -torch.inf]]), log_probs, 3)
    assert found[0][:2] == [(-3.0, 1, 2 * GROUP + 8), (-5.0, 1, 2 * GROUP - 3)]
    assert found[0][2][0] == -torch.inf


def test_nan_is_the_largest():
    log_probs = torch.full((1, 2, 400), -1.0)
    log_probs[0, 1] = torch.nan
    best, slots, _ = best_continuations(torch.zeros(1, 2), log_probs[0], Grid.full(1, 2), 2)
    assert best.isnan().all()
    assert slots.tolist() == [[1, 1]]


def test_a_broken_sentence_leaves_the_empty_slots_of_others_empty():
    """The first row is another sentence's; whoever has no row must not be read there."""
    log_probs = torch.full((2, 3, 2 * GROUP + 9), -torch.inf)
    log_probs[0] = torch.nan
    log_probs[1, 1, 4] = -1.0
    totals = torch.tensor([[0.0, -torch.inf, -torch.inf], [-torch.inf, -2.0, -torch.inf]])
    (_, found) = chosen(totals, log_probs, 3)
    assert found[0] == (-3.0, 1, 4)
    assert [total for total, *_ in found[1:]] == [-torch.inf, -torch.inf]


def test_the_order_of_ties_does_not_depend_on_the_company_or_on_forbidden_tokens_behind():
    """So a sentence that is padded to the longest list of its batch is searched as it is alone."""
    generator = torch.Generator().manual_seed(3)
    log_probs = -(torch.rand(30, 5, 700, generator=generator) * 4).round() - 1
    totals = -(torch.rand(30, 5, generator=generator) * 2).round()
    together = chosen(totals, torch.nn.functional.pad(log_probs, (0, 900), value=-torch.inf), 5)
    alone = [chosen(totals[i : i + 1], log_probs[i : i + 1], 5)[0] for i in range(30)]
    assert together == alone


def test_many_values_are_searched_in_groups(monkeypatch):
    monkeypatch.undo()

    def refuse(*_):
        raise AssertionError("in groups")

    monkeypatch.setattr(ranking, "_by_groups", refuse)
    best_continuations(torch.zeros(1, 5), torch.zeros(5, 8000), Grid.full(1, 5), 5)
    with pytest.raises(AssertionError, match="in groups"):
        best_continuations(torch.zeros(64, 5), torch.zeros(320, 8000), Grid.full(64, 5), 5)
