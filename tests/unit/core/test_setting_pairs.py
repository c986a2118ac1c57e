"""Settings of `key=value` pairs."""

import pytest

from lamington.core.errors import UsageError
from lamington.core.settings import load_settings, setting_pairs


def test_pairs_are_separated_by_commas_and_split_at_the_first_sign() -> None:
    assert setting_pairs("endpoints", "a=http://h:1/?x=y, b = c ,") == {
        "a": "http://h:1/?x=y",
        "b": "c",
    }
    assert setting_pairs("endpoints", "") == {}


@pytest.mark.parametrize("text", ["a", "=b", "a="])
def test_what_is_no_pair_is_refused_when_settings_are_loaded(text: str) -> None:
    with pytest.raises(UsageError, match="not a value for `vpc_links`"):
        load_settings({}, vpc_links=text)
