"""Two services that are signed for under one name are told apart by the path."""

import pytest

from lamington.core.http import Headers, Request
from lamington.wire.services import Credential, service_name_of

SIGNED = Credential(access_key="a", region="eu-west-1", service="apigateway")
HOST = "apigateway.eu-west-1.amazonaws.com"


def request_to(path: str, host: str = "") -> Request:
    headers = Headers.of({"Host": host} if host else {})
    return Request(method="GET", path=path, headers=headers)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v2/apis", "apigatewayv2"),
        ("/v2/apis/abc/routes", "apigatewayv2"),
        ("/v2/tags/arn%3Aaws%3Aapigateway%3A%3A%3A%2Fapis%2Fabc", "apigatewayv2"),
        ("/v2/vpclinks", "apigatewayv2"),
        ("/v2/portals", "apigatewayv2"),
        ("/restapis", "apigateway"),
        ("/tags/arn", "apigateway"),
        ("/vpclinks", "apigateway"),
    ],
)
def test_path_tells_the_version(path: str, name: str) -> None:
    unsigned = Credential()
    assert service_name_of(request_to(path), SIGNED) == name
    assert service_name_of(request_to(path, HOST), unsigned) == name
    assert service_name_of(request_to(path), unsigned) == name


def test_other_services_keep_their_paths() -> None:
    signed = Credential(access_key="a", region="eu-west-1", service="lambda")
    assert service_name_of(request_to("/v2/apis"), signed) == "lambda"
