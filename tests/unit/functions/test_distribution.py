import random

import pytest

from lamington.functions.distribution import BUCKETS_MAX, Distribution, one_value


def filled(values: list[float]) -> Distribution:
    made = Distribution()
    made.add_all(values)
    return made


@pytest.mark.parametrize("share", [0, 1, 50, 90, 95, 99, 99.9, 100])
def test_percentile_is_right_to_one_percent(share: float) -> None:
    chance = random.Random(7)
    values = sorted(chance.lognormvariate(2, 1.5) for _ in range(5000))
    exact = values[max(int(len(values) * share / 100 + 0.999999) - 1, 0)]
    assert filled(values).percentile(share) == pytest.approx(exact, rel=0.01)


def test_small_whole_numbers_stay_what_they_are() -> None:
    values = filled([1.0, 2.0, 3.0, 40.0])
    assert [values.percentile(share) for share in (25, 50, 75, 100)] == [1.0, 2.0, 3.0, 40.0]


def test_values_below_nought_sort_before_others() -> None:
    values = filled([-5.0, 0.0, 5.0])
    assert values.percentile(10) == pytest.approx(-5.0, rel=0.01)
    assert values.percentile(50) == 0.0
    assert (values.least, values.most, values.total) == (-5.0, 5.0, 0.0)


def test_parts_make_the_same_whole() -> None:
    values = [float(number) for number in range(1, 301)]
    merged = filled(values[:100])
    merged.merge(filled(values[100:]))
    assert merged == filled(values)


def test_sketch_stays_small() -> None:
    made = Distribution()
    for power in range(-300, 300):
        made.add_all([10.0**power * factor for factor in (1.0, 2.0, 3.7, 7.9)])
    assert len(made.sketch) <= BUCKETS_MAX
    assert made.count == 2400


def test_summary_counts_as_its_mean() -> None:
    made = Distribution()
    made.add_summary(4, 20.0, 2.0, 9.0)
    assert (made.count, made.total, made.least, made.most) == (4, 20.0, 2.0, 9.0)
    assert made.percentile(50) == 5.0


def test_empty_has_no_percentile_to_speak_of() -> None:
    assert Distribution().percentile(99) == 0.0
    assert one_value(3.0).average == 3.0
