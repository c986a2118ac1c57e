"""Every operation of Lambda's service model: it answers, or it refuses in a shape that is modelled.

One table says how each is called; it is walked by boto3 and, in one process, by the AWS CLI.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from lamington.functions.operations.refusals import REFUSED
from lamington.testing import RunningEngine, running_engine
from processes import wait_until

ACCOUNT = "000000000000"
CLI_ACCOUNT = "333333333333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/anything"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}"
FUNCTION = f"{ARN}:function:walked"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
PUBLISHERS = {"SigningProfileVersionArns": [f"arn:aws:signer:us-east-1:{ACCOUNT}:/p/one/1"]}
EXECUTION = f"{FUNCTION}:1/durable-execution/name/00000000-0000-0000-0000-000000000000"
PROVIDER = {
    "CapacityProviderName": "c",
    "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    "PermissionsConfig": {"CapacityProviderOperatorRoleArn": ROLE},
}
SCALING = {"FunctionScalingConfig": {"MinExecutionEnvironments": 1}}
AT_ONCE = {"Delay": 0.02, "MaxAttempts": 500}

# Documented errors of the framework, which no operation lists.
FRAMEWORK = {"ValidationException", "AccessDeniedException", "ThrottlingException"}

NAMED = {"FunctionName": "walked"}
LAYER = {"LayerName": "walked", "VersionNumber": 1}

WALK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("GetAccountSettings", {}),
    ("CreateCodeSigningConfig", {"AllowedPublishers": PUBLISHERS}),
    ("ListCodeSigningConfigs", {}),
    ("GetCodeSigningConfig", {"CodeSigningConfigArn": "$signing"}),
    ("UpdateCodeSigningConfig", {"CodeSigningConfigArn": "$signing", "Description": "d"}),
    (
        "PublishLayerVersion",
        {"LayerName": "walked", "Content": {"ZipFile": "$archive"}, "Description": "d"},
    ),
    ("ListLayers", {}),
    ("ListLayerVersions", {"LayerName": "walked"}),
    ("GetLayerVersion", LAYER),
    ("GetLayerVersionByArn", {"Arn": f"{ARN}:layer:walked:1"}),
    (
        "AddLayerVersionPermission",
        {**LAYER, "StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"},
    ),
    ("GetLayerVersionPolicy", LAYER),
    ("RemoveLayerVersionPermission", {**LAYER, "StatementId": "s"}),
    (
        "CreateFunction",
        {
            **NAMED,
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": "$archive"},
            "Layers": [f"{ARN}:layer:walked:1"],
            "Tags": {"a": "1"},
        },
    ),
    ("$wait", NAMED),
    ("GetFunction", NAMED),
    ("GetFunctionConfiguration", NAMED),
    ("ListFunctions", {"FunctionVersion": "ALL"}),
    ("UpdateFunctionConfiguration", {**NAMED, "Timeout": 9}),
    ("$wait", NAMED),
    ("UpdateFunctionCode", {**NAMED, "ZipFile": "$archive"}),
    ("$wait", NAMED),
    ("PublishVersion", NAMED),
    ("ListVersionsByFunction", NAMED),
    ("CreateAlias", {**NAMED, "Name": "live", "FunctionVersion": "1"}),
    ("GetAlias", {**NAMED, "Name": "live"}),
    ("UpdateAlias", {**NAMED, "Name": "live", "Description": "d"}),
    ("ListAliases", NAMED),
    (
        "AddPermission",
        {**NAMED, "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"},
    ),
    ("GetPolicy", NAMED),
    ("RemovePermission", {**NAMED, "StatementId": "s"}),
    ("TagResource", {"Resource": FUNCTION, "Tags": {"b": "2"}}),
    ("ListTags", {"Resource": FUNCTION}),
    ("UntagResource", {"Resource": FUNCTION, "TagKeys": ["a"]}),
    ("PutFunctionConcurrency", {**NAMED, "ReservedConcurrentExecutions": 5}),
    ("GetFunctionConcurrency", NAMED),
    ("DeleteFunctionConcurrency", NAMED),
    (
        "PutProvisionedConcurrencyConfig",
        {**NAMED, "Qualifier": "live", "ProvisionedConcurrentExecutions": 1},
    ),
    ("GetProvisionedConcurrencyConfig", {**NAMED, "Qualifier": "live"}),
    ("ListProvisionedConcurrencyConfigs", NAMED),
    ("DeleteProvisionedConcurrencyConfig", {**NAMED, "Qualifier": "live"}),
    ("PutFunctionCodeSigningConfig", {**NAMED, "CodeSigningConfigArn": "$signing"}),
    ("GetFunctionCodeSigningConfig", NAMED),
    ("ListFunctionsByCodeSigningConfig", {"CodeSigningConfigArn": "$signing"}),
    ("DeleteFunctionCodeSigningConfig", NAMED),
    ("PutRuntimeManagementConfig", {**NAMED, "UpdateRuntimeOn": "FunctionUpdate"}),
    ("GetRuntimeManagementConfig", NAMED),
    ("PutFunctionRecursionConfig", {**NAMED, "RecursiveLoop": "Allow"}),
    ("GetFunctionRecursionConfig", NAMED),
    ("PutFunctionEventInvokeConfig", {**NAMED, "MaximumRetryAttempts": 1}),
    ("UpdateFunctionEventInvokeConfig", {**NAMED, "MaximumRetryAttempts": 0}),
    ("GetFunctionEventInvokeConfig", NAMED),
    ("ListFunctionEventInvokeConfigs", NAMED),
    ("DeleteFunctionEventInvokeConfig", NAMED),
    ("CreateFunctionUrlConfig", {**NAMED, "AuthType": "NONE"}),
    ("GetFunctionUrlConfig", NAMED),
    ("UpdateFunctionUrlConfig", {**NAMED, "AuthType": "AWS_IAM"}),
    ("ListFunctionUrlConfigs", NAMED),
    ("DeleteFunctionUrlConfig", NAMED),
    ("CreateEventSourceMapping", {**NAMED, "EventSourceArn": QUEUE, "Enabled": False}),
    ("ListEventSourceMappings", NAMED),
    ("GetEventSourceMapping", {"UUID": "$mapping"}),
    ("$wait", {"UUID": "$mapping"}),
    ("UpdateEventSourceMapping", {"UUID": "$mapping", "BatchSize": 5}),
    ("$wait", {"UUID": "$mapping"}),
    ("DeleteEventSourceMapping", {"UUID": "$mapping"}),
    ("Invoke", {**NAMED, "Payload": b"{}"}),
    ("InvokeWithResponseStream", {**NAMED, "Payload": b"{}"}),
    ("InvokeAsync", {**NAMED, "InvokeArgs": b"{}"}),
    ("CreateCapacityProvider", PROVIDER),
    ("GetCapacityProvider", {"CapacityProviderName": "c"}),
    ("UpdateCapacityProvider", {"CapacityProviderName": "c"}),
    ("DeleteCapacityProvider", {"CapacityProviderName": "c"}),
    ("ListCapacityProviders", {}),
    ("ListFunctionVersionsByCapacityProvider", {"CapacityProviderName": "c"}),
    ("GetFunctionScalingConfig", {**NAMED, "Qualifier": "1"}),
    ("PutFunctionScalingConfig", {**NAMED, "Qualifier": "1", **SCALING}),
    (
        "CheckpointDurableExecution",
        {"DurableExecutionArn": EXECUTION, "CheckpointToken": "dG9rZW4=", "Updates": []},
    ),
    ("DeleteDurableExecution", {"DurableExecutionArn": EXECUTION}),
    ("GetDurableExecution", {"DurableExecutionArn": EXECUTION}),
    ("GetDurableExecutionHistory", {"DurableExecutionArn": EXECUTION}),
    (
        "GetDurableExecutionState",
        {"DurableExecutionArn": EXECUTION, "CheckpointToken": "dG9rZW4="},
    ),
    ("ListDurableExecutionsByFunction", NAMED),
    ("PauseDurableExecution", {"DurableExecutionArn": EXECUTION}),
    ("ResumeDurableExecution", {"DurableExecutionArn": EXECUTION}),
    ("StopDurableExecution", {"DurableExecutionArn": EXECUTION}),
    ("SendDurableExecutionCallbackFailure", {"CallbackId": "Y2FsbGJhY2s="}),
    ("SendDurableExecutionCallbackHeartbeat", {"CallbackId": "Y2FsbGJhY2s="}),
    ("SendDurableExecutionCallbackSuccess", {"CallbackId": "Y2FsbGJhY2s="}),
    ("GetResourcePolicy", {"ResourceArn": FUNCTION}),
    ("PutResourcePolicy", {"ResourceArn": FUNCTION, "Policy": "{}"}),
    ("DeleteResourcePolicy", {"ResourceArn": FUNCTION}),
    ("DeleteAlias", {**NAMED, "Name": "live"}),
    ("DeleteLayerVersion", LAYER),
    ("DeleteCodeSigningConfig", {"CodeSigningConfigArn": "$signing"}),
    ("DeleteFunction", NAMED),
)
"""In an order in which each finds what it needs; `$` names what an earlier answer gave."""


@dataclass
class Outcome:
    """What came of one call: an answer, or an error's code and text."""

    answer: Mapping[str, Any]
    code: str = ""
    message: str = ""
    status: int = 0


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as running:
        yield running


def _archive() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        file.writestr(entry, "def handler(event, context): return event\n")
    return written.getvalue()


def _filled(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    return known[value] if isinstance(value, str) and value.startswith("$") else value


def _learn(operation: str, answer: Mapping[str, Any], known: dict[str, Any]) -> None:
    if operation == "CreateCodeSigningConfig":
        known["$signing"] = answer["CodeSigningConfig"]["CodeSigningConfigArn"]
    if operation == "CreateEventSourceMapping":
        known["$mapping"] = answer["UUID"]


def _wait(client: Any, params: Mapping[str, Any]) -> None:
    """Let a function, or an event source mapping, come to rest."""
    if "FunctionName" in params:
        for waiter in ("function_active_v2", "function_updated_v2"):
            client.get_waiter(waiter).wait(**params, WaiterConfig=AT_ONCE)
        return
    settled = ("Enabled", "Disabled")
    wait_until(
        lambda: client.get_event_source_mapping(**params)["State"] in settled,
        "the event source mapping did not come to rest",
    )


def _called(client: Any, operation: str, params: dict[str, Any]) -> Outcome:
    try:
        answer = getattr(client, xform_name(operation))(**params)
        for body in ("Payload", "EventStream"):
            if body in answer:
                list(answer[body])  # To the end, so that the connection is given back.
        return Outcome(answer=answer)
    except ClientError as refused:
        error = refused.response["Error"]
        status = refused.response["ResponseMetadata"]["HTTPStatusCode"]
        return Outcome({}, error.get("Code", ""), error.get("Message", ""), status)


def test_every_operation_answers_or_is_refused_in_a_modelled_shape(engine: RunningEngine) -> None:
    client = engine.client("lambda")
    model = client.meta.service_model
    known: dict[str, Any] = {"$archive": _archive()}
    implemented, refused, wrong = [], [], []
    for operation, params in WALK:
        if operation == "$wait":
            _wait(client, _filled(params, known))
            continue
        if operation not in model.operation_names:
            continue  # Newer than the model that is installed.
        outcome = _called(client, operation, _filled(params, known))
        if not outcome.code:
            _learn(operation, outcome.answer, known)
            implemented.append(operation)
            continue
        refused.append(operation)
        modelled = {shape.name for shape in model.operation_model(operation).error_shapes}
        if outcome.code not in modelled | FRAMEWORK or outcome.status >= 500:
            wrong.append(f"{operation}: {outcome.status} {outcome.code}: {outcome.message}")
        if operation not in REFUSED:
            wrong.append(f"{operation} is refused: {outcome.code}: {outcome.message}")
    print(f"implemented ({len(implemented)}): {', '.join(implemented)}")
    print(f"refused ({len(refused)}): {', '.join(refused)}")
    assert wrong == []
    assert set(model.operation_names) == {*implemented, *refused}
    assert set(refused) == set(REFUSED) & set(model.operation_names)


@pytest.mark.parametrize("operation", sorted(REFUSED))
def test_refusal_names_the_alternative(engine: RunningEngine, operation: str) -> None:
    params = dict(WALK)[operation]
    client = engine.client("lambda")
    if operation not in client.meta.service_model.operation_names:
        pytest.skip(f"the installed model has no {operation} yet")
    outcome = _called(client, operation, params)
    expected, reason = REFUSED[operation]
    assert (outcome.code, outcome.message) == (expected.__name__, reason)
    assert outcome.status == expected.status


def test_every_operation_is_understood_from_the_cli(
    engine: RunningEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each command ends with 0 where boto3 has an answer, and with 254 or 255 where it has none.

    The CLI is unchanged but runs in this process: a hundred starts of it take a minute.
    """
    from awscli.clidriver import create_clidriver  # type: ignore[import-untyped]  # has no types

    for name, value in {
        "AWS_ACCESS_KEY_ID": CLI_ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_PAGER": "",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.zip").write_bytes(_archive())
    client = engine.client("lambda", account_id=CLI_ACCOUNT)
    known: dict[str, Any] = {"$archive": _archive()}
    driver = create_clidriver()
    wrong, walked = [], set()
    for operation, params in WALK:
        if operation == "$wait":
            _wait(client, _filled(params, known))
            continue
        if operation not in _cli_operations(driver):
            continue
        arguments = _cli_arguments(operation, _owned(_filled(params, known)), tmp_path)
        ended = driver.main(["--endpoint-url", engine.endpoint_url, "--output", "json", *arguments])
        said = capsys.readouterr()
        walked.add(operation)
        if (ended == 0) != (operation not in REFUSED):
            wrong.append(f"{arguments}: {ended}: {said.err.strip()[:300]}")
        elif ended == 0 and said.out.startswith("{"):
            _learn(operation, json.loads(said.out), known)
        elif ended and REFUSED[operation][0].__name__ not in said.err:
            wrong.append(f"{operation}: {said.err.strip()[:300]}")
    assert wrong == []
    assert len(walked) > 60


def _cli_operations(driver: Any) -> set[str]:
    """The operations that this version of the CLI knows, by the names of the model."""
    table = driver.session.get_service_model("lambda").operation_names
    # It streams no answers, and leaves open the file that InvokeAsync sends.
    return set(table) - {"InvokeWithResponseStream", "InvokeAsync"}


def _owned(value: Any) -> Any:
    """The same parameters for the account of the CLI."""
    if isinstance(value, dict):
        return {name: _owned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_owned(each) for each in value]
    return value.replace(ACCOUNT, CLI_ACCOUNT) if isinstance(value, str) else value


def _cli_arguments(operation: str, params: dict[str, Any], directory: Path) -> list[str]:
    arguments = ["lambda", xform_name(operation, "-")]
    for name, value in params.items():
        option = f"--{xform_name(name, '-')}"
        if name in ("Code", "Content"):
            arguments += ["--zip-file", "fileb://code.zip"]
        elif isinstance(value, bool):
            arguments.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, bytes):
            (directory / "body").write_bytes(value)
            arguments += [option, "fileb://body"]
        elif isinstance(value, (dict, list)):
            arguments += [option, json.dumps(value)]
        else:
            arguments += [option, str(value)]
    if operation == "Invoke":
        arguments.append(str(directory / "out.json"))
    return arguments
