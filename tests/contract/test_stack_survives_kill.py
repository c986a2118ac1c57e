"""An engine killed outright in the midst of updates: the next one leaves nothing half there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lamington.testing import RunningEngine, running_engine

ROUNDS = 4
TERMINAL = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}

TEMPLATE = """
Parameters: {Round: {Type: String}}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      Description: !Ref Round
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement:
          - {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.11
      Handler: index.handler
      Role: !GetAtt Role.Arn
      Code: {ZipFile: !Sub "def handler(event, context): return '${Round}'"}
""" + "".join(
    f"""
  Group{n}:
    Type: AWS::Logs::LogGroup
    Properties: {{LogGroupName: !Sub "{n}-of-${{Round}}", RetentionInDays: 7}}
"""
    for n in range(12)
)

UPDATER = """
import sys, threading
from pathlib import Path
from lamington.testing import running_engine

template, first = Path(sys.argv[2]).read_text(), int(sys.argv[3])
with running_engine(Path(sys.argv[1])) as engine:
    stacks = engine.client("cloudformation")
    for round in range(first, first + 100_000):
        request = {
            "StackName": "killed",
            "TemplateBody": template,
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": "Round", "ParameterValue": str(round)}],
        }
        known = [each["StackName"] for each in stacks.describe_stacks()["Stacks"]]
        operation = stacks.update_stack if known else stacks.create_stack
        operation(**request)
        print(round, flush=True)
        engine.run(engine.engine.stacks.wait("killed", engine.scope))
"""


def test_a_killed_engine_leaves_nothing_half_there(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    data, reached = tmp_path / "data", 0
    for round_ in range(ROUNDS):
        # Updates that began and were not told of yet are stepped over.
        first = reached + 100
        reached = killed_in_an_update(tmp_path, data, first, after=3 + 2 * round_)
        with running_engine(data) as engine:
            require_whole(engine)


def killed_in_an_update(directory: Path, data: Path, first: int, *, after: int) -> int:
    """Let an engine of its own update on, and kill it a moment after it began an update."""
    with subprocess.Popen(
        [sys.executable, "-c", UPDATER, data, directory / "template.yaml", str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as engine:
        assert engine.stdout is not None
        for _ in range(after):
            reached = int(engine.stdout.readline())
        time.sleep(0.001 * after)  # the moment itself: there is no event to wait for
        engine.send_signal(signal.SIGKILL)
    return reached


def require_whole(engine: RunningEngine) -> None:
    stacks = engine.client("cloudformation")
    engine.run(engine.engine.stacks.wait("killed", engine.scope))
    (stack,) = stacks.describe_stacks()["Stacks"]
    assert stack["StackStatus"] in TERMINAL
    (parameter,) = stack["Parameters"]
    resources: dict[str, Any] = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in stacks.describe_stack_resources(StackName="killed")["StackResources"]
    }
    groups = engine.client("logs").describe_log_groups()["logGroups"]
    (role,) = engine.client("iam").list_roles()["Roles"]
    (function,) = engine.client("lambda").list_functions()["Functions"]
    names = {each["logGroupName"] for each in groups}
    assert {name for name in names if not name.startswith("/aws/lambda/")} == {
        f"{n}-of-{parameter['ParameterValue']}" for n in range(12)
    }
    assert role["RoleName"] == resources["Role"]
    assert function["FunctionName"] == resources["Function"]
    answer = engine.client("lambda").invoke(FunctionName=resources["Function"])
    assert answer["Payload"].read() == f'"{parameter["ParameterValue"]}"'.encode()
