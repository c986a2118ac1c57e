"""Quotas of an account: those that were raised, and what else is no quota."""

import pytest

from lamington.core.errors import UsageError
from lamington.gateway.entities import LimitExceededException
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, parse_service_quotas, require_room


def test_a_quota_that_was_raised_leaves_the_others() -> None:
    quotas = parse_service_quotas({"resources_per_api": "500"})
    assert quotas.resources_per_api == 500
    assert quotas.stages_per_api == DEFAULT_QUOTAS.stages_per_api


@pytest.mark.parametrize("raised", [{"cakes": "1"}, {"stages_per_api": "many"}])
def test_what_is_no_quota_is_refused(raised: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        parse_service_quotas(raised)


def test_the_last_one_of_a_quota_has_room() -> None:
    require_room(9, 10, "Stages")
    with pytest.raises(LimitExceededException):
        require_room(10, 10, "Stages")
