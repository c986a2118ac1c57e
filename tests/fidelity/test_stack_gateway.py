"""Runs the rows of `stack_gateway.toml`: each is a stack with one resource, beside a base stack."""

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lamington.testing import RunningEngine, running_engine

AT_ONCE = {"Delay": 0.02, "MaxAttempts": 500}
BASE = """
Resources:
  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: base}}
  Method:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Api
      ResourceId: !GetAtt Api.RootResourceId
      HttpMethod: PUT
      AuthorizationType: NONE
      Integration: {Type: MOCK}
  Deployment:
    Type: AWS::ApiGateway::Deployment
    DependsOn: Method
    Properties: {RestApiId: !Ref Api}
  Stage:
    Type: AWS::ApiGateway::Stage
    Properties: {RestApiId: !Ref Api, DeploymentId: !Ref Deployment, StageName: live}
  Words:
    Type: AWS::ApiGateway::DocumentationPart
    Properties: {RestApiId: !Ref Api, Location: {Type: RESOURCE, Path: /}, Properties: "{}"}
  Key: {Type: AWS::ApiGateway::ApiKey}
  Plan: {Type: AWS::ApiGateway::UsagePlan}
  Name: {Type: AWS::ApiGateway::DomainName, Properties: {DomainName: n.example.com}}
  PrivateName:
    Type: AWS::ApiGateway::DomainNameV2
    Properties: {DomainName: q.example.com, EndpointConfiguration: {Types: [PRIVATE]}}
  Http: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: http, ProtocolType: HTTP}}
  Quick:
    Type: AWS::ApiGatewayV2::Api
    Properties: {Name: quick, ProtocolType: HTTP, Target: "https://example.com"}
Outputs:
  Api: {Value: !Ref Api}
  Root: {Value: !GetAtt Api.RootResourceId}
  Deployment: {Value: !Ref Deployment}
  Stage: {Value: !Ref Stage}
  Key: {Value: !Ref Key}
  Plan: {Value: !Ref Plan}
  Name: {Value: !Ref Name}
  NameArn: {Value: !GetAtt Name.DomainNameArn}
  PrivateArn: {Value: !Ref PrivateName}
  Http: {Value: !Ref Http}
  Quick: {Value: !Ref Quick}
"""
ROWS = tomllib.loads(Path(__file__).with_name("stack_gateway.toml").read_text())["case"]


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def base(engine: RunningEngine) -> Mapping[str, str]:
    return outputs_of(engine, "base", BASE)


def outputs_of(engine: RunningEngine, name: str, template: str) -> dict[str, str]:
    client = engine.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=template)
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def delete(engine: RunningEngine, name: str) -> None:
    client = engine.client("cloudformation")
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=AT_ONCE)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["id"]) for row in ROWS])
def test_type(engine: RunningEngine, base: Mapping[str, str], row: dict[str, Any]) -> None:
    given, expected = row["given"], row["expect"]
    provided = engine.engine.providers[given["type"]].facts
    assert provided.create_only == set(expected["replaces"])
    assert provided.attributes == expected["attributes"].keys()

    attributes = "".join(
        f"  {name}: {{Value: !GetAtt Made.{name}}}\n" for name in expected["attributes"]
    )
    properties = string.Template(given["properties"]).safe_substitute(base)
    made = outputs_of(
        engine,
        row["id"],
        f"Resources:\n  Made: {{Type: {given['type']}, Properties: {properties}}}\n"
        f"Outputs:\n  Ref: {{Value: !Ref Made}}\n{attributes}",
    )
    patterns = {"Ref": expected["ref"], **expected["attributes"]}
    for name, pattern in patterns.items():
        known = {each: re.escape(value) for each, value in base.items()}
        whole = string.Template(pattern).safe_substitute(known)
        whole = whole.replace("{ref}", re.escape(made["Ref"]))
        assert re.fullmatch(whole, made[name]), f"{name}: {made[name]!r} is not {whole!r}"
    delete(engine, row["id"])
