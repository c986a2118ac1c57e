"""What a subscription to telemetry may ask for."""

import json
from typing import Any

import pytest

from lamington.functions.telemetry_api import (
    LOGS,
    TELEMETRY,
    Subscription,
    TelemetryForm,
    parse_subscription,
    render_event,
)


def asked(**changes: Any) -> bytes:
    whole: dict[str, Any] = {
        "schemaVersion": "2022-12-13",
        "types": ["platform"],
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"},
    }
    return json.dumps({**whole, **changes}).encode()


def test_subscription_has_defaults() -> None:
    assert parse_subscription(asked(), TELEMETRY) == Subscription(
        kinds=("platform",),
        protocol="HTTP",
        port=8080,
        path="/",
        host="sandbox.localdomain",
        method="POST",
        items_max=10_000,
        bytes_max=262_144,
        timeout_ms=1000,
    )


def test_subscription_takes_all_members() -> None:
    body = asked(
        types=["function", "extension", "function"],
        buffering={"maxItems": 1000, "maxBytes": 1_048_576, "timeoutMs": 25},
        destination={"protocol": "HTTP", "URI": "http://sandbox:9000/in?a=b", "method": "PUT"},
    )
    assert parse_subscription(body, TELEMETRY) == Subscription(
        kinds=("function", "extension"),
        protocol="HTTP",
        port=9000,
        path="/in?a=b",
        host="sandbox",
        method="PUT",
        items_max=1000,
        bytes_max=1_048_576,
        timeout_ms=25,
    )


def test_logs_destination_may_be_a_port_alone() -> None:
    body = asked(schemaVersion="2020-08-15", destination={"protocol": "TCP", "port": 8080})
    subscription = parse_subscription(body, LOGS)
    assert isinstance(subscription, Subscription)
    assert (subscription.protocol, subscription.port) == ("TCP", 8080)


@pytest.mark.parametrize(
    ("form", "changes", "problem"),
    [
        (
            TELEMETRY,
            {
                "types": [],
                "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"},
            },
            "URI port is not provided; types should not be empty",
        ),
        (TELEMETRY, {"types": ["weather"]}, "types should be among platform, function, extension"),
        (
            TELEMETRY,
            {"schemaVersion": "2020-08-15"},
            "schemaVersion should be one of 2022-07-01, 2022-12-13, 2025-01-29",
        ),
        (
            TELEMETRY,
            {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:9001"}},
            "port 9001 is reserved or out of range",
        ),
        (
            TELEMETRY,
            {"destination": {"protocol": "HTTP", "URI": "https://sandbox.localdomain:8080"}},
            "URI scheme should be http",
        ),
        (
            TELEMETRY,
            {"destination": {"protocol": "UDP", "URI": "http://sandbox.localdomain:8080"}},
            "destination protocol should be HTTP or TCP",
        ),
        (TELEMETRY, {"destination": None}, "destination is not provided"),
        (
            TELEMETRY,
            {"destination": {"protocol": "HTTP", "URI": "http://sandbox:port"}},
            "URI is not valid",
        ),
        (TELEMETRY, {"buffering": {"maxItems": 999}}, "maxItems should be between 1000 and 10000"),
        (
            TELEMETRY,
            {"buffering": {"maxBytes": True}},
            "maxBytes should be between 262144 and 1048576",
        ),
        (
            LOGS,
            {"schemaVersion": "2020-08-15", "buffering": {"timeoutMs": 25}},
            "timeoutMs should be between 100 and 30000",
        ),
    ],
)
def test_problem_is_told(form: TelemetryForm, changes: dict[str, Any], problem: str) -> None:
    assert parse_subscription(asked(**changes), form) == problem


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_damaged_subscription_is_refused(body: bytes) -> None:
    assert isinstance(parse_subscription(body, TELEMETRY), str)


def test_event_has_its_members_in_order() -> None:
    assert render_event("function", "a\n", 1_767_323_045_678) == (
        b'{"time":"2026-01-02T03:04:05.678Z","type":"function","record":"a\\n"}'
    )
