"""Which requests of the AWS port are for a function URL."""

import pytest

from lamington.core.http import Headers, Request
from lamington.engine.doors import parse_url_address


def request(path: str, host: str = "localhost:4566") -> Request:
    return Request(method="GET", path=path, headers=Headers([("host", host)]))


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/_aws/lambda-url/abc", "/"),
        ("/_aws/lambda-url/abc/", "/"),
        ("/_aws/lambda-url/abc/a%2Fb/c", "/a%2Fb/c"),
        ("/_aws/lambda-url/abc//a", "//a"),
    ],
)
def test_path_form_is_cut_off(path: str, rest: str) -> None:
    found = parse_url_address(request(path))
    assert found is not None
    assert (found.url_id, found.path) == ("abc", rest)


@pytest.mark.parametrize(
    "host",
    [
        "abc.lambda-url.us-east-1.on.aws",
        "abc.lambda-url.us-east-1.localhost:4566",
        "ABC.Lambda-URL.eu-central-1.localhost.localstack.cloud:4566",
        "abc.lambda-url.localhost",
    ],
)
def test_host_form_leaves_the_path(host: str) -> None:
    found = parse_url_address(request("/_aws", host))
    assert found is not None
    assert (found.url_id, found.path) == ("abc", "/_aws")


@pytest.mark.parametrize(
    "host",
    ["localhost", "abc.lambda-url.us-east-1.on.aws.example.com", "lambda.us-east-1.localhost"],
)
def test_everything_else_goes_on(host: str) -> None:
    assert parse_url_address(request("/2015-03-31/functions", host)) is None
