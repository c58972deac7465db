"""Medians, spreads, ratios and orders."""

from stats import Spread, ratio, rotated, spread


def test_spread_is_median_and_range() -> None:
    assert spread([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert spread([]) is None


def test_ranges_overlap_when_they_share_a_value() -> None:
    assert Spread(2, 1, 3).overlaps(Spread(4, 3, 5))
    assert Spread(4, 3, 5).overlaps(Spread(2, 1, 3))
    assert not Spread(2, 1, 3).overlaps(Spread(5, 4, 6))


def test_ratio_is_taken_within_rounds() -> None:
    # The machine was ten times slower in round 1: neither ratio nor range may show it.
    assert ratio({0: 8.0, 1: 80.0, 2: 8.0}, {0: 2.0, 1: 20.0, 2: 2.0}) == Spread(4.0, 4.0, 4.0)


def test_rounds_that_lack_one_side_do_not_count() -> None:
    assert ratio({0: 8.0, 1: 6.0}, {1: 2.0, 2: 1.0}) == Spread(3.0, 3.0, 3.0)
    assert ratio({0: 8.0}, {1: 2.0}) is None


def test_everyone_is_first_once() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, by) for by in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    assert rotated([], 3) == []
