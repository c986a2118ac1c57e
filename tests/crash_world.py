"""A stack with one of everything, and all that exists on an engine, to be held against its record.

It is asked through AWS's own operations, in this process or over HTTP.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

Call = Callable[..., Awaitable[Mapping[str, Any]]]
"""Calls an operation by its name, `lambda:ListFunctions`, with its members as arguments."""

STACK = "cake"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
UNSEEN = ("AWS::IAM::Policy", "AWS::ApiGateway::Account", "AWS::CDK::Metadata")
"""Types that no list shows under their physical ids; `contents` shows what they do."""


def _trust() -> dict[str, Any]:
    principal = {"Service": "lambda.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }


def _policy(name: str, action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"PolicyName": name, "PolicyDocument": document}


def _function(text: str, **given: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.12",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": f"def handler(event, context):\n    return {text!r}\n"},
            **given,
        },
    }


def _resource(kind: str, /, _depends_on: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
    needs = {"DependsOn": list(_depends_on)} if _depends_on else {}
    return {"Type": f"AWS::{kind}", "Properties": given, **needs}


API = {"Ref": "Api"}
OWN_STAGE = "own"
"""The stage that goes with its deployment and is no resource of the stack."""


def _method(answer: str) -> dict[str, Any]:
    return _resource(
        "ApiGateway::Method",
        RestApiId=API,
        ResourceId={"Ref": "Path"},
        HttpMethod="GET",
        MethodResponses=[{"StatusCode": "200"}],
        Integration={
            "Type": "MOCK",
            "RequestTemplates": {"application/json": '{"statusCode": 200}'},
            "IntegrationResponses": [
                {"StatusCode": "200", "ResponseTemplates": {"application/json": answer}}
            ],
        },
    )


def _common(word: str, path: str) -> dict[str, Any]:
    return {
        "Sign": _function(word, Timeout=5 if word == "first" else 7),
        "Api": _resource("ApiGateway::RestApi", Name="api", Description=word),
        "Path": _resource(
            "ApiGateway::Resource",
            RestApiId=API,
            ParentId={"Fn::GetAtt": ["Api", "RootResourceId"]},
            PathPart=path,
        ),
        "Get": _method(word),
        "NotThere": _resource(
            "ApiGateway::GatewayResponse",
            RestApiId=API,
            ResponseType="RESOURCE_NOT_FOUND",
            ResponseTemplates={"application/json": word},
        ),
        "Settings": _resource("ApiGateway::Account"),
        "BakeVersion": _resource("Lambda::Version", FunctionName={"Ref": "Bake"}),
        "Permission": _resource(
            "Lambda::Permission",
            FunctionName={"Ref": "Alias"},
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        ),
    }


def _whole(word: str) -> dict[str, Any]:
    """An API by its definition alone, and a deployment that makes its stage itself."""
    operation = {
        "responses": {"200": {"description": word}},
        "x-amazon-apigateway-integration": {"type": "mock"},
    }
    definition = {
        "swagger": "2.0",
        "info": {"title": "whole", "version": "1"},
        "paths": {f"/{word}": {"get": operation}, "/both": {"post": operation}},
    }
    return {
        "Whole": _resource("ApiGateway::RestApi", Body=definition),
        "WholeDeployment": _resource(
            "ApiGateway::Deployment",
            RestApiId={"Ref": "Whole"},
            StageName=OWN_STAGE,
            StageDescription={"LoggingLevel": "INFO"},
        ),
    }


def _served(deployment: str, version: str, word: str) -> dict[str, Any]:
    return {
        version: _resource(
            "Lambda::Version", FunctionName={"Ref": "Sign"}, Description=f"of {word}"
        ),
        "Alias": _resource(
            "Lambda::Alias",
            FunctionName={"Ref": "Sign"},
            Name="live",
            FunctionVersion={"Fn::GetAtt": [version, "Version"]},
        ),
        deployment: _resource("ApiGateway::Deployment", ("Get",), RestApiId=API),
        "Stage": _resource(
            "ApiGateway::Stage",
            RestApiId=API,
            DeploymentId={"Ref": deployment},
            StageName="live",
            Variables={"word": word, word: "yes"},
        ),
    }


FIRST: dict[str, Any] = {
    **_common("first", "cakes"),
    **_whole("first"),
    **_served("DeploymentOne", "VersionOne", "first"),
    "Role": _resource(
        "IAM::Role",
        AssumeRolePolicyDocument=_trust(),
        Policies=[_policy("own", "s3:GetObject"), _policy("more", "s3:PutObject")],
    ),
    "Extra": _resource("IAM::Policy", Roles=[{"Ref": "Role"}], **_policy("extra", "sqs:*")),
    "Log": _resource("Logs::LogGroup", RetentionInDays=7),
    "Shape": _resource(
        "ApiGateway::Model", RestApiId=API, ContentType="application/json", Schema={"title": "one"}
    ),
    "Bake": _function("bake"),
    "Marker": _resource("CDK::Metadata", Analytics="v2:deflate64:one"),
}

SECOND: dict[str, Any] = {
    **_common("second", "buns"),
    **_whole("second"),
    **_served("DeploymentTwo", "VersionTwo", "second"),
    "Role": _resource(
        "IAM::Role", AssumeRolePolicyDocument=_trust(), Policies=[_policy("own", "s3:*")]
    ),
    "Log": _resource("Logs::LogGroup"),
    "More": _resource("Logs::LogGroup", RetentionInDays=1),
    "Shape": _resource(
        "ApiGateway::Model", RestApiId=API, ContentType="text/plain", Schema={"title": "one"}
    ),
    "Bake": _function("bake", FunctionName="named"),
    "Marker": _resource("CDK::Metadata", Analytics="v2:deflate64:two"),
}
"""Beside what changes in place: a path, its method, a model and a function are replaced, a policy,
a version and a deployment go, others of their types come."""


def failing(resources: Mapping[str, Any]) -> dict[str, Any]:
    """The same with one resource more, which fails when all else is done."""
    last = _resource("Logs::LogGroup", ("Stage", "Permission", "Bake", "Log"), LogGroupName="a b")
    return {**resources, "Bad": last}


def body(resources: Mapping[str, Any]) -> str:
    return json.dumps({"Resources": resources})


async def recorded(call: Call) -> dict[str, tuple[str, str]]:
    """What the stack has written down: type and physical id of each logical id."""
    found = await call("cloudformation:DescribeStackResources", StackName=STACK)
    rows = [row for row in found["StackResources"] if row["ResourceStatus"] != "DELETE_COMPLETE"]
    for row in rows:
        assert row["ResourceStatus"].endswith("_COMPLETE"), row
    return {
        row["LogicalResourceId"]: (row["ResourceType"], row["PhysicalResourceId"]) for row in rows
    }


async def existing(call: Call) -> list[tuple[str, str]]:
    """Type and physical id of all that is on the engine, whoever made it, in order."""
    found = [
        ("AWS::IAM::Role", each["RoleName"]) for each in (await call("iam:ListRoles"))["Roles"]
    ]
    groups = (await call("logs:DescribeLogGroups"))["logGroups"]
    found += [("AWS::Logs::LogGroup", each["logGroupName"]) for each in groups]
    for each in (await call("lambda:ListFunctions"))["Functions"]:
        found += await _of_function(call, each["FunctionName"])
    for each in (await call("apigateway:GetRestApis")).get("items", ()):
        found += await _of_api(call, each["id"])
    return sorted(found)


async def _of_function(call: Call, name: str) -> list[tuple[str, str]]:
    found = [("AWS::Lambda::Function", name)]
    qualifiers = [""]
    versions = (await call("lambda:ListVersionsByFunction", FunctionName=name))["Versions"]
    for each in versions[1:]:
        found.append(("AWS::Lambda::Version", each["FunctionArn"]))
        qualifiers.append(each["Version"])
    for each in (await call("lambda:ListAliases", FunctionName=name))["Aliases"]:
        found.append(("AWS::Lambda::Alias", each["AliasArn"]))
        qualifiers.append(each["Name"])
    for qualifier in qualifiers:
        target = {"Qualifier": qualifier} if qualifier else {}
        policy = await or_nothing(call, "lambda:GetPolicy", FunctionName=name, **target)
        for statement in json.loads(policy.get("Policy", '{"Statement": []}'))["Statement"]:
            found.append(("AWS::Lambda::Permission", statement["Sid"]))
    return found


async def _of_api(call: Call, api_id: str) -> list[tuple[str, str]]:
    kind = "AWS::ApiGateway::"
    found = [(f"{kind}RestApi", api_id)]
    stages = (await call("apigateway:GetStages", restApiId=api_id)).get("item", ())
    for each in stages:
        if each["stageName"] != OWN_STAGE:
            found.append((f"{kind}Stage", each["stageName"]))
    for each in (await call("apigateway:GetDeployments", restApiId=api_id)).get("items", ()):
        found.append((f"{kind}Deployment", each["id"]))
    if any(each["stageName"] == OWN_STAGE for each in stages):
        return found  # What is in this API its definition says; `contents` looks at it.
    for each in (await call("apigateway:GetResources", restApiId=api_id))["items"]:
        if each["path"] != "/":
            found.append((f"{kind}Resource", each["id"]))
        for verb in each.get("resourceMethods", ()):
            found.append((f"{kind}Method", f"{api_id}|{each['id']}|{verb}"))
    for each in (await call("apigateway:GetModels", restApiId=api_id)).get("items", ()):
        if each["name"] not in ("Empty", "Error"):
            found.append((f"{kind}Model", each["name"]))
    responses = await call("apigateway:GetGatewayResponses", restApiId=api_id, limit=500)
    for each in responses["items"]:
        if not each["defaultResponse"]:
            found.append((f"{kind}GatewayResponse", f"{api_id}|{each['responseType']}"))
    return found


async def require_as_recorded(call: Call) -> None:
    """Nothing is there that is not written down, nothing is written down that is not there."""
    rows = await recorded(call)
    seen = sorted(row for row in rows.values() if row[0] not in UNSEEN)
    assert await existing(call) == seen
    for each in (await call("lambda:ListFunctions"))["Functions"]:
        function = await call("lambda:GetFunction", FunctionName=each["FunctionName"])
        assert _is_file(function["Code"]["Location"])


def _is_file(uri: str) -> bool:
    return Path(url2pathname(urlsplit(uri).path)).is_file()


async def contents(call: Call) -> dict[str, Any]:
    """What the stack's resources are and do, without the ids, which differ from run to run."""
    rows = await recorded(call)
    ids = {name: physical_id for name, (_, physical_id) in rows.items()}
    role, api = ids["Role"], ids["Api"]
    shown: dict[str, Any] = {"names": sorted(rows)}
    for name in await _role_policies(call, role):
        policy = await call("iam:GetRolePolicy", RoleName=role, PolicyName=name)
        shown[f"policy {name}"] = policy["PolicyDocument"]
    for name in ("Sign", "Bake"):
        function = await call("lambda:GetFunctionConfiguration", FunctionName=ids[name])
        shown[name] = function["CodeSha256"], function["Timeout"]
    published = await call("lambda:GetFunctionConfiguration", FunctionName=ids["Alias"])
    shown["published"] = published["CodeSha256"], published.get("Description")
    groups = (await call("logs:DescribeLogGroups"))["logGroups"]
    shown["groups"] = sorted(str(each.get("retentionInDays")) for each in groups)
    definition = await call("apigateway:GetRestApi", restApiId=api)
    shown["api"] = definition.get("description")
    resources = await call("apigateway:GetResources", restApiId=api, embed=["methods"])
    for each in resources["items"]:
        shown[each["path"]] = {
            verb: method["methodIntegration"]["integrationResponses"]["200"]["responseTemplates"]
            for verb, method in each.get("resourceMethods", {}).items()
        }
    model = await call("apigateway:GetModel", restApiId=api, modelName=ids["Shape"])
    shown["model"] = model["schema"], model["contentType"]
    stage = await call("apigateway:GetStage", restApiId=api, stageName="live")
    shown["stage"] = stage["variables"]
    whole = await call("apigateway:GetResources", restApiId=ids["Whole"])
    shown["whole"] = sorted(each["path"] for each in whole["items"])
    own = await call("apigateway:GetStage", restApiId=ids["Whole"], stageName=OWN_STAGE)
    shown["own stage"] = (
        own["deploymentId"] == ids["WholeDeployment"],
        own["methodSettings"]["*/*"]["loggingLevel"],
    )
    shown["deployed"] = [
        name for name, physical_id in ids.items() if physical_id == stage["deploymentId"]
    ]
    return shown


async def _role_policies(call: Call, role: str) -> list[str]:
    return sorted((await call("iam:ListRolePolicies", RoleName=role))["PolicyNames"])


async def or_nothing(call: Call, operation: str, **params: Any) -> Mapping[str, Any]:
    """What an operation answers; nothing where what it asks for is not there."""
    try:
        return await call(operation, **params)
    except Exception as error:
        # AwsError in this process, botocore's ClientError over HTTP.
        if "NotFound" not in f"{type(error).__name__} {error}":
            raise
        return {}


async def status(call: Call) -> str:
    """The stack's status, "" where there is none of this name."""
    for each in (await call("cloudformation:DescribeStacks"))["Stacks"]:
        if each["StackName"] == STACK:
            return str(each["StackStatus"])
    return ""
