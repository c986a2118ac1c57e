"""A null in a list or in a map of a request is never written down: no row could be read again."""

import json
import urllib.request
from typing import Any

import pytest

from lamington.testing import RunningEngine


def send(engine: RunningEngine, method: str, path: str, body: Any, service: str) -> Any:
    credential = f"test/20260101/us-east-1/{service}/aws4_request"
    request = urllib.request.Request(
        engine.endpoint_url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host,"
            " Signature=none",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        (
            "/restapis",
            {"name": "n", "tags": {"a": None, "b": "1"}, "binaryMediaTypes": [None, "a/b"]},
            {"tags": {"b": "1"}, "binaryMediaTypes": ["a/b"]},
        ),
        (
            "/v2/apis",
            {
                "name": "n",
                "protocolType": "HTTP",
                "tags": {"a": None, "b": "1"},
                "corsConfiguration": {"allowOrigins": [None, "*"]},
            },
            {"tags": {"b": "1"}, "corsConfiguration": {"allowOrigins": ["*"]}},
        ),
    ],
)
def test_nulls_are_left_out_and_what_is_kept_can_be_read(
    live_engine: RunningEngine, path: str, body: dict[str, Any], shown: dict[str, Any]
) -> None:
    made = send(live_engine, "POST", path, body, "apigateway")
    assert {name: made[name] for name in shown} == shown
    listed = send(live_engine, "GET", path, None, "apigateway")
    assert any(each["name"] == "n" for each in listed.get("item") or listed["items"])
