import pytest
import torch

from seq2seq.models.priors import BandPrior, BeginningPrior, DiagonalPrior, EndPrior, OwnPrior, PriorSum

LENGTHS = [6, 1, 3]
STRENGTH, WIDTH, SLOPE = 1.7, 2.5, 1.3


def diagonal(t, length):
    return min(SLOPE * t, length - 1)


# From source position, target position and the sentence's length.
PATTERNS = {
    BeginningPrior: lambda s, t, length: -STRENGTH * s / WIDTH,
    EndPrior: lambda s, t, length: -STRENGTH * (length - 1 - s) / WIDTH,
    DiagonalPrior: lambda s, t, length: -STRENGTH * abs(s - diagonal(t, length)) / WIDTH,
    BandPrior: lambda s, t, length: 0.0 if abs(s - diagonal(t, length)) <= WIDTH else -STRENGTH,
}


def mask_of(lengths, extra=0):
    return torch.arange(max(lengths) + extra) < torch.tensor(lengths)[:, None]


@pytest.fixture(params=PATTERNS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_a_pattern_is_its_formula(kind):
    bias = kind(STRENGTH, WIDTH, SLOPE)(torch.arange(8), mask_of(LENGTHS))
    assert bias.dtype == torch.float32
    bias = bias.expand(3, 8, 6)
    for b, length in enumerate(LENGTHS):
        for t in range(8):
            expected = [PATTERNS[kind](s, t, length) for s in range(length)]
            assert bias[b, t, :length].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (BeginningPrior, [[0, -1, -2, -3], [0, -1, -2, -3]]),
        (EndPrior, [[-3, -2, -1, 0], [-3, -2, -1, 0]]),
        (DiagonalPrior, [[0, -1, -2, -3], [-2, -1, 0, -1]]),
        (BandPrior, [[0, 0, 0, -2], [0, 0, 0, 0]]),
    ],
)
def test_four_words_at_target_positions_0_and_1(kind, expected):
    bias = kind(strength=2.0, width=2.0, slope=2.0)(torch.arange(2), mask_of([4]))
    assert bias.expand(1, 2, 4).tolist() == [expected]


def test_padding_and_company_change_nothing(kind):
    steps = torch.arange(8)
    together = kind(STRENGTH, WIDTH, SLOPE)(steps, mask_of(LENGTHS, extra=3))
    assert together.isfinite().all()
    for b, length in enumerate(LENGTHS):
        alone = kind(STRENGTH, WIDTH, SLOPE)(steps, mask_of([length]))
        assert torch.equal(alone[0], together[b, :, :length])


def test_step_by_step_is_all_steps_at_once(kind):
    prior, mask = kind(STRENGTH, WIDTH, SLOPE), mask_of(LENGTHS)
    at_once = prior(torch.arange(8), mask).expand(3, 8, 6)
    for t in range(8):
        assert torch.equal(prior(torch.tensor([t]), mask), at_once[:, t : t + 1])


@pytest.mark.parametrize(("slope", "width"), [(1.1, 3), (0.7, 1.4), (0.9, 0.3)])
def test_a_band_is_as_wide_on_both_sides_at_every_step(slope, width):
    bias = BandPrior(1.0, width, slope)(torch.arange(60), mask_of([80]))[0]
    tenths = round(10 * slope)  # in whole numbers of tenths there is no rounding
    for t in range(60):
        expected = [s for s in range(80) if abs(10 * s - tenths * t) <= round(10 * width)]
        assert (bias[t] == 0).nonzero().flatten().tolist() == expected


def test_own_numbers_go_to_the_first_words_of_every_sentence():
    prior = OwnPrior([0.5, -1.0, 2.0])
    assert prior(torch.arange(4), mask_of([5, 2])).tolist() == [[[0.5, -1.0, 2.0, 0.0, 0.0]]] * 2
    assert prior(torch.arange(4), mask_of([2])).tolist() == [[[0.5, -1.0]]]
    assert prior(torch.arange(4), mask_of([3])).tolist() == [[[0.5, -1.0, 2.0]]]
    assert OwnPrior([])(torch.arange(4), mask_of([2])).tolist() == [[[0.0, 0.0]]]
    assert not prior.state_dict()  # the numbers are the config's


def test_priors_add_up():
    steps, mask = torch.arange(4), mask_of(LENGTHS)
    own, pattern = OwnPrior([3.0, 1.0]), DiagonalPrior(STRENGTH, WIDTH, SLOPE)
    assert torch.equal(PriorSum([own, pattern])(steps, mask), own(steps, mask) + pattern(steps, mask))
    assert torch.equal(PriorSum([])(steps, mask), torch.zeros(3, 1, 6))
