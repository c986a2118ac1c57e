"""SnapStart as boto3 sees it, against a live engine: from its version to what is restored."""

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from lamington.testing import RunningEngine

ROLE = "arn:aws:iam::000000000000:role/anything"
AT_ONCE = {"Delay": 0.02, "MaxAttempts": 500}
CODE = """
import os, uuid
from snapshot_restore_py import register_after_restore, register_before_snapshot

IDENTITY = uuid.uuid4().hex
DONE = []

@register_before_snapshot
def before():
    DONE.append("before")

@register_after_restore
def after():
    DONE.append("after")

def handler(event, context):
    kind = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
    return {"identity": IDENTITY, "done": DONE, "kind": kind, "version": context.function_version}
"""


def archive(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        file.writestr(entry, text)
    return packed.getvalue()


def create(engine: RunningEngine, name: str, text: str) -> Any:
    client = engine.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": archive(text)},
        SnapStart={"ApplyOn": "PublishedVersions"},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=AT_ONCE)
    return client


def answer(client: Any, name: str, **more: Any) -> Any:
    return json.loads(client.invoke(FunctionName=name, **more)["Payload"].read())


def test_published_version_is_restored_and_the_latest_is_not(live_engine: RunningEngine) -> None:
    client = create(live_engine, "snapped", CODE)
    published = client.publish_version(FunctionName="snapped")
    assert published["State"] == "Pending"
    assert published["SnapStart"] == {
        "ApplyOn": "PublishedVersions",
        "OptimizationStatus": "Off",
    }
    waiter = client.get_waiter("published_version_active")
    waiter.wait(FunctionName="snapped", Qualifier="1", WaiterConfig=AT_ONCE)
    shown = client.get_function_configuration(FunctionName="snapped", Qualifier="1")
    assert shown["State"] == "Active"
    assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    latest = client.get_function_configuration(FunctionName="snapped")
    assert latest["SnapStart"]["OptimizationStatus"] == "Off"

    client.create_alias(FunctionName="snapped", Name="live", FunctionVersion="1")
    restored = answer(client, "snapped", Qualifier="live")
    assert (restored["kind"], restored["done"]) == ("snap-start", ["before", "after"])
    assert restored["version"] == "1"
    fresh = answer(client, "snapped")
    assert (fresh["kind"], fresh["done"]) == ("on-demand", [])
    assert fresh["identity"] != restored["identity"]


def test_version_whose_init_fails_is_failed(live_engine: RunningEngine) -> None:
    client = create(live_engine, "broken", "import nothing_of_the_kind")
    client.publish_version(FunctionName="broken")
    waiter = client.get_waiter("published_version_active")
    with pytest.raises(WaiterError):
        waiter.wait(FunctionName="broken", Qualifier="1", WaiterConfig=AT_ONCE)
    shown = client.get_function_configuration(FunctionName="broken", Qualifier="1")
    assert shown["State"] == "Failed"
    assert shown["StateReasonCode"] == "FunctionError.RuntimeInitError"


def test_failing_hook_after_the_restore_is_a_snap_start_exception(
    live_engine: RunningEngine,
) -> None:
    text = CODE.replace('DONE.append("after")', 'raise ValueError("no network")')
    client = create(live_engine, "unrestored", text)
    client.publish_version(FunctionName="unrestored")
    waiter = client.get_waiter("published_version_active")
    waiter.wait(FunctionName="unrestored", Qualifier="1", WaiterConfig=AT_ONCE)
    with pytest.raises(client.exceptions.SnapStartException) as caught:
        client.invoke(FunctionName="unrestored", Qualifier="1")
    answered = caught.value.response
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answered["Type"] == "User"
    assert answered["Error"]["Message"].startswith("The afterRestore() runtime hook")
