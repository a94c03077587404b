"""Numbers as printed: rounded as said, signs and zeros right, and nan never shown as a number."""

import math

import pytest

from frod.evaluation import formatting as show


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (show.points, 0.9316, "93.2"),
        (show.points, -0.031, "−3.1"),
        (show.gain, 0.0123, "+1.2"),
        (show.gain, -0.0123, "−1.2"),
        (show.gain, -0.0001, "0.0"),
        (show.count, 1569276, "1\u202f569\u202f276"),
        (show.short_count, 770, "770"),
        (show.short_count, 22_566_146, "22.6M"),
        (show.short_count, 999_999, "1.00M"),
        (show.share, 0.017938, "1.79\u00a0%"),
        (show.share, 1.0, "100\u00a0%"),
        (show.share, 0.0, "0.00\u00a0%"),
        (show.share, 0.0000341, "0.00341\u00a0%"),
        (show.seconds, 0.0123, "12.3\u00a0ms"),
        (show.seconds, 4.0, "4.00\u00a0s"),
        (show.seconds, 75, "1\u00a0min 15\u00a0s"),
        (show.seconds, 59.99, "60.0\u00a0s"),
        (show.seconds, 7380, "2\u00a0h 3\u00a0min"),
        (show.seconds, 0.0, "0\u00a0ms"),
        (show.size, 1.5 * 2**30, "1.50\u00a0GiB"),
        (show.size, 640 * 2**20, "640\u00a0MiB"),
        (show.significant, 0.01234, "0.0123"),
        (show.significant, 1234.5, "1230"),
        (show.significant, -2.0, "−2.00"),
        (show.significant, 0.0, "0"),
        (show.fixed, -0.001, "0.00"),
        (show.signed, 1.234, "+1.23"),
        (show.p_value, 0.00001, "< 0.0001"),
        (show.p_value, 0.04, "0.040"),
        (show.per_cent, 0.125, "12.50\u00a0%"),
        (show.rate, 5e-4, "5e-4"),
        (show.rate, 1.25e-3, "1.25e-3"),
        (show.plain, 3.0, "3"),
        (show.plain, True, "yes"),
        (show.plain, None, "–"),
    ],
)
def test_as_printed(function, value, text):
    assert function(value) == text


NUMBERS = "points gain fixed signed significant p_value per_cent count share seconds size ratio rate plain"


@pytest.mark.parametrize("name", NUMBERS.split())
def test_nan_is_a_dash(name):
    assert getattr(show, name)(math.nan) == "–"


def test_ranges_and_intervals():
    assert show.gains(-0.021, 0.003) == "[−2.1, +0.3]"
    assert show.gains(math.nan, 0.1) == "–"
    assert show.count_range([7, 7]) == "7"
    assert show.count_range([9, 7]) == "7 to 9"
    assert show.share_range([0.02, 0.020001]) == "2.00\u00a0%"
