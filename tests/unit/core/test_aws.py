"""Naming AWS things."""

import pytest

from lamington.core.aws import Arn, Scope
from lamington.core.errors import LamingtonError


def test_a_scope_names_its_resources() -> None:
    scope = Scope(account_id="111122223333", region="eu-west-1")
    assert scope.arn("lambda", "function:f") == "arn:aws:lambda:eu-west-1:111122223333:function:f"
    assert scope.global_arn("iam", "role/r") == "arn:aws:iam::111122223333:role/r"


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_a_region_is_in_its_partition(region: str, partition: str, suffix: str) -> None:
    scope = Scope(region=region)
    assert (scope.partition, scope.url_suffix) == (partition, suffix)


def test_an_arn_is_parsed_and_printed_the_same() -> None:
    text = "arn:aws:lambda:us-east-1:111122223333:function:f:alias"
    arn = Arn.parse(text)
    assert (arn.service, arn.resource) == ("lambda", "function:f:alias")
    assert str(arn) == text


@pytest.mark.parametrize("text", ["", "f", "arn:aws:lambda", "urn:aws:lambda:r:a:f"])
def test_what_is_no_arn_is_refused(text: str) -> None:
    with pytest.raises(LamingtonError, match="is not an ARN"):
        Arn.parse(text)
