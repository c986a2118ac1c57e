"""The control plane as it shows in what runs: layers, provisioned concurrency, versions."""

import io
import json
import zipfile
from typing import Any

from lamington.testing import RunningEngine
from processes import wait_until

ROLE = "arn:aws:iam::000000000000:role/anything"
AT_ONCE = {"Delay": 0.02, "MaxAttempts": 500}


def archive(**files: str) -> bytes:
    """A package of Python files; `__` stands for a slash."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, text in files.items():
            entry = zipfile.ZipInfo(f"{name.replace('__', '/')}.py")
            entry.external_attr = 0o644 << 16
            file.writestr(entry, text)
    return packed.getvalue()


def create(engine: RunningEngine, name: str, text: str, **more: Any) -> Any:
    client = engine.client("lambda")
    created = client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": archive(app=text)},
        **more,
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=AT_ONCE)
    return created


def answer(engine: RunningEngine, name: str, **more: Any) -> Any:
    invoked = engine.client("lambda").invoke(FunctionName=name, **more)
    return json.loads(invoked["Payload"].read())


def test_function_imports_from_its_layers_the_last_of_which_wins(
    live_engine: RunningEngine,
) -> None:
    client = live_engine.client("lambda")
    arns = [
        client.publish_layer_version(LayerName=name, Content={"ZipFile": archive(**files)})[
            "LayerVersionArn"
        ]
        for name, files in (
            ("first", {"python__both": "VALUE = 1", "python__only": "VALUE = 'first'"}),
            ("second", {"python__both": "VALUE = 2"}),
        )
    ]
    create(
        live_engine,
        "layered",
        "import both, only\ndef handler(e, c): return [both.VALUE, only.VALUE]",
        Layers=arns,
    )
    assert answer(live_engine, "layered") == [2, "first"]
    for arn, version in zip(arns, (1, 1), strict=True):
        client.delete_layer_version(LayerName=arn.rpartition(":")[0], VersionNumber=version)
    assert answer(live_engine, "layered") == [2, "first"]


def test_provisioned_environments_are_ready_before_they_are_asked(
    live_engine: RunningEngine,
) -> None:
    client = live_engine.client("lambda")
    create(
        live_engine,
        "ready",
        "import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']",
        Publish=True,
    )
    named = {"FunctionName": "ready", "Qualifier": "1"}
    put = client.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
    assert put["Status"] == "IN_PROGRESS"
    wait_until(
        lambda: client.get_provisioned_concurrency_config(**named)["Status"] == "READY",
        "the environment was never ready",
    )
    assert answer(live_engine, **{"name": "ready", "Qualifier": "1"}) == "provisioned-concurrency"
    assert answer(live_engine, "ready") == "on-demand"


def test_provisioning_of_what_does_not_start_fails_with_its_reason(
    live_engine: RunningEngine,
) -> None:
    client = live_engine.client("lambda")
    create(live_engine, "broken", "raise ValueError('no')", Publish=True)
    named = {"FunctionName": "broken", "Qualifier": "1"}
    client.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
    wait_until(
        lambda: client.get_provisioned_concurrency_config(**named)["Status"] == "FAILED",
        "the failure was never told",
    )
    shown = client.get_provisioned_concurrency_config(**named)
    assert shown["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"


def test_stack_with_a_layer_and_a_version_is_made_and_deleted(live_engine: RunningEngine) -> None:
    objects = {
        "layer.zip": archive(python__shared="VALUE = 'from the layer'"),
        "code.zip": archive(app="import shared\ndef handler(e, c): return shared.VALUE"),
    }
    for key, content in objects.items():
        live_engine.engine.publish("stack-objects", key, lambda content=content: content)  # type: ignore[misc]
    template = {
        "Resources": {
            "Shared": {
                "Type": "AWS::Lambda::LayerVersion",
                "Properties": {"Content": {"S3Bucket": "stack-objects", "S3Key": "layer.zip"}},
            },
            "Everybody": {
                "Type": "AWS::Lambda::LayerVersionPermission",
                "Properties": {
                    "LayerVersionArn": {"Ref": "Shared"},
                    "Action": "lambda:GetLayerVersion",
                    "Principal": "*",
                },
            },
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": "stacked",
                    "Runtime": "python3.11",
                    "Handler": "app.handler",
                    "Role": ROLE,
                    "Code": {"S3Bucket": "stack-objects", "S3Key": "code.zip"},
                    "Layers": [{"Ref": "Shared"}],
                    "RecursiveLoop": "Allow",
                },
            },
            "Version": {
                "Type": "AWS::Lambda::Version",
                "Properties": {
                    "FunctionName": {"Ref": "Function"},
                    "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
                },
            },
        }
    }
    stacks = live_engine.client("cloudformation")
    stacks.create_stack(StackName="layers", TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName="layers", WaiterConfig=AT_ONCE)
    assert answer(live_engine, "stacked", Qualifier="1") == "from the layer"
    recursion = live_engine.client("lambda").get_function_recursion_config(FunctionName="stacked")
    assert recursion["RecursiveLoop"] == "Allow"
    stacks.delete_stack(StackName="layers")
    stacks.get_waiter("stack_delete_complete").wait(StackName="layers", WaiterConfig=AT_ONCE)
    layers = live_engine.client("lambda").list_layers()["Layers"]
    assert not [each for each in layers if "layers-Shared" in each["LayerName"]]
