"""Every setting once."""

from pathlib import Path
from typing import Any

import pytest

from lamington.core.errors import UsageError
from lamington.core.settings import Settings, load_settings


def test_nothing_given_means_the_defaults() -> None:
    assert load_settings({}) == Settings()


def test_a_flag_beats_a_variable_and_a_variable_beats_the_default() -> None:
    variables = {"LAMINGTON_PORT": "1", "LAMINGTON_AWS_PORT": "2"}
    settings = load_settings(variables, port=3, aws_port=None)
    assert (settings.port, settings.aws_port) == (3, 2)


def test_values_have_the_type_of_their_setting() -> None:
    settings = load_settings({"LAMINGTON_DATA": "/x", "LAMINGTON_IDLE_S": "1.5"})
    assert (settings.data, settings.idle_s) == (Path("/x"), 1.5)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"port": "many"}, "port"),
        ({"port": 65_536}, "port"),
        ({"aws_port": -1}, "aws_port"),
        ({"account_id": "1234"}, "account_id"),
        ({"idle_s": -1}, "idle_s"),
        ({"idle_s": "nan"}, "idle_s"),
        ({"environments_max": "-3"}, "environments_max"),
    ],
)
def test_a_value_of_the_wrong_form_is_refused_by_name(flags: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"is not a value for `{name}`") as refused:
        load_settings({}, **flags)
    assert refused.value.hint
