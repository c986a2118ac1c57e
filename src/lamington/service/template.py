"""The stack template of a service: plain CloudFormation, complete, nothing left to transform.

Generated: for each function its role, log group and permission; for the API its deployment (a new
logical id whenever the definition changes) and stage. What the developer's stack file holds is
taken over as it is. Left to others: the API definition itself (`api`), and the packages.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from lamington.core.documents import Document
from lamington.core.errors import Position
from lamington.service.api import CompleteApi
from lamington.service.functions import Function
from lamington.service.problems import Problems
from lamington.service.project import Project, ServiceStage

Resource = dict[str, Any]

BUCKET_PARAMETER = "ArtifactsBucket"
ARTIFACTS_BUCKET_DEFAULT = "lamington-artifacts"
LOG_RETENTION_DAYS = 30
FUNCTION_NAME_MAX = 64
API_ID = "Api"
STAGE_ID = "ApiStage"
_DEFINITION_HASH_LENGTH = 10

_MERGED = ("Parameters", "Mappings", "Conditions", "Resources", "Outputs", "Rules")
_SECTIONS = ("AWSTemplateFormatVersion", "Description", "Metadata", *_MERGED)


def build_template(
    project: Project,
    stage: ServiceStage,
    api: CompleteApi | None,
    keys: Mapping[str, str],
    problems: Problems,
) -> dict[str, Any]:
    """The whole template; `keys` are the packages' S3 keys by function name."""
    template: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{project.name}, made by Lamington",
    }
    sections: dict[str, dict[str, Any]] = {name: {} for name in _MERGED}
    if project.functions:
        sections["Parameters"][BUCKET_PARAMETER] = {
            "Type": "String",
            "Default": ARTIFACTS_BUCKET_DEFAULT,
            "Description": "The bucket that the packages of the functions are in",
        }
    for function in project.functions:
        _check_name(project, stage, function, problems)
        sections["Resources"] |= _function_resources(
            function, keys.get(function.name, ""), problems
        )
    if api is not None:
        sections["Resources"] |= _api_resources(api, stage)
        sections["Outputs"] |= _api_outputs(stage)
    _merge(template, sections, project.stack, problems)
    return template | {name: section for name, section in sections.items() if section}


def physical_name(function: Function) -> Any:
    """A function's name on AWS: the stack's and its own, unless it is given by hand."""
    return function.properties.get(
        "FunctionName", {"Fn::Sub": f"${{AWS::StackName}}-{function.name}"}
    )


def _check_name(
    project: Project, stage: ServiceStage, function: Function, problems: Problems
) -> None:
    name = f"{stage.stack_name}-{function.name}"
    if "FunctionName" not in function.properties and len(name) > FUNCTION_NAME_MAX:
        problems.error(
            f"`{name}` is too long for a function's name: {len(name)} characters,"
            f" {FUNCTION_NAME_MAX} are allowed",
            where=function.where,
            hint="give `FunctionName` in function.yaml, or a shorter name to the service",
        )


def _function_resources(function: Function, key: str, problems: Problems) -> dict[str, Resource]:
    this = function.logical_id
    properties = dict(function.properties)
    resources: dict[str, Resource] = {}
    logging = properties.get("LoggingConfig")
    if not (isinstance(logging, dict) and "LogGroup" in logging):
        resources[f"{this}LogGroup"] = {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "LogGroupName": _log_group_name(physical_name(function)),
                "RetentionInDays": LOG_RETENTION_DAYS,
            },
        }
    if "Role" in properties:
        if function.policies:
            problems.error(
                f"`{function.name}` has both a `Role` and `Policies`",
                where=function.settings.position(("Policies",)) if function.settings else None,
                hint="policies go into the generated role: drop one of the two",
            )
    else:
        resources[f"{this}Role"] = _role(function, f"{this}LogGroup" in resources, problems)
        properties["Role"] = {"Fn::GetAtt": [f"{this}Role", "Arn"]}
    code = {"S3Bucket": {"Ref": BUCKET_PARAMETER}, "S3Key": key}
    resources[this] = {
        "Type": "AWS::Lambda::Function",
        "Properties": {"FunctionName": physical_name(function), "Code": code, **properties},
    }
    if "Role" in function.properties and f"{this}LogGroup" in resources:
        # Otherwise the function might make its log group first, and the stack's would fail.
        resources[this]["DependsOn"] = [f"{this}LogGroup"]
    return resources


def _log_group_name(name: Any) -> Any:
    if isinstance(name, str):
        return f"/aws/lambda/{name}"
    if isinstance(name, dict) and isinstance(name.get("Fn::Sub"), str):
        return {"Fn::Sub": f"/aws/lambda/{name['Fn::Sub']}"}
    return {"Fn::Join": ["", ["/aws/lambda/", name]]}


def _role(function: Function, own_log_group: bool, problems: Problems) -> Resource:
    """Least privilege: its own log group, what its settings need, and what `Policies` adds."""
    statements: list[Any] = []
    if own_log_group:
        statements.append(
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": {"Fn::GetAtt": [f"{function.logical_id}LogGroup", "Arn"]},
            }
        )
    else:
        statements.append(_allow(["logs:CreateLogStream", "logs:PutLogEvents"]))
    if "VpcConfig" in function.properties:
        interfaces = ("CreateNetworkInterface", "DescribeNetworkInterfaces")
        more = ("DeleteNetworkInterface", "DescribeSubnets")
        statements.append(_allow([f"ec2:{name}" for name in (*interfaces, *more)]))
    if "TracingConfig" in function.properties:
        statements.append(_allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"]))
    policies = [_policy("Base", statements)]
    managed: list[Any] = []
    own: list[Any] = []
    for index, given in enumerate(function.policies):
        with problems.gathered():
            _read_policy(given, own, managed, policies, function, index, problems)
    if own:
        policies.append(_policy("Function", own))
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        "Policies": policies,
    }
    if managed:
        properties["ManagedPolicyArns"] = managed
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def _read_policy(
    given: Any,
    statements: list[Any],
    managed: list[Any],
    policies: list[Any],
    function: Function,
    index: int,
    problems: Problems,
) -> None:
    """One item of SAM's `Policies`: a managed policy, a document, or a statement by itself."""
    if isinstance(given, str):
        arn = {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::aws:policy/{given}"}
        managed.append(given if given.startswith("arn:") else arn)
    elif isinstance(given, dict) and "Statement" in given:
        policies.append({"PolicyName": f"Policy{index + 1}", "PolicyDocument": given})
    elif isinstance(given, dict) and "Effect" in given:
        statements.append(given)
    elif (
        isinstance(given, dict) and len(given) == 1 and next(iter(given)).startswith(("Fn:", "Ref"))
    ):
        managed.append(given)
    else:
        assert function.settings is not None
        listed = isinstance(function.settings.value.get("Policies"), list)
        name = next(iter(given), "") if isinstance(given, dict) else given
        problems.error(
            f"`{name}` is no policy that is known here",
            where=function.settings.position(("Policies", index) if listed else ("Policies",)),
            hint="give statements (`Effect`, `Action`, `Resource`), a policy document, or the name"
            " or ARN of a managed policy; SAM's policy templates are not known yet",
        )


def _allow(actions: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": "*"}


def _policy(name: str, statements: list[Any]) -> dict[str, Any]:
    document = {"Version": "2012-10-17", "Statement": statements}
    return {"PolicyName": name, "PolicyDocument": document}


def _api_resources(api: CompleteApi, stage: ServiceStage) -> dict[str, Resource]:
    digest = hashlib.sha256(msgspec.json.encode(api.definition, order="sorted")).hexdigest()
    deployment_id = f"ApiDeployment{digest[:_DEFINITION_HASH_LENGTH]}"
    resources: dict[str, Resource] = {
        f"{function.logical_id}Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Fn::GetAtt": [function.logical_id, "Arn"]},
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {
                    "Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}"
                    f":${{AWS::AccountId}}:${{{API_ID}}}/*/*"
                },
            },
        }
        for function in api.invoked
    }
    resources[API_ID] = {
        "Type": "AWS::ApiGateway::RestApi",
        "Properties": {
            "Name": {"Ref": "AWS::StackName"},
            "EndpointConfiguration": {"Types": ["REGIONAL"]},
            "Body": api.definition,
        },
    }
    resources[deployment_id] = {
        "Type": "AWS::ApiGateway::Deployment",
        "Properties": {"RestApiId": {"Ref": API_ID}},
    }
    properties: dict[str, Any] = {
        "RestApiId": {"Ref": API_ID},
        "DeploymentId": {"Ref": deployment_id},
        "StageName": stage.name,
    }
    if stage.variables:
        properties["Variables"] = dict(stage.variables)
    resources[STAGE_ID] = {"Type": "AWS::ApiGateway::Stage", "Properties": properties}
    if stage.logging:
        properties["MethodSettings"] = [
            {"HttpMethod": "*", "ResourcePath": "/*", "LoggingLevel": stage.logging}
        ]
        resources[STAGE_ID]["DependsOn"] = ["ApiAccount"]
        resources |= _account_resources()
    return resources


def _account_resources() -> dict[str, Resource]:
    """The role by which API Gateway writes execution logs: one for an account and region."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    managed = "arn:${AWS::Partition}:iam::aws:policy/service-role/"
    return {
        "ApiAccountRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                "ManagedPolicyArns": [
                    {"Fn::Sub": f"{managed}AmazonAPIGatewayPushToCloudWatchLogs"}
                ],
            },
        },
        "ApiAccount": {
            "Type": "AWS::ApiGateway::Account",
            "Properties": {"CloudWatchRoleArn": {"Fn::GetAtt": ["ApiAccountRole", "Arn"]}},
        },
    }


def _api_outputs(stage: ServiceStage) -> dict[str, Any]:
    host = f"${{{API_ID}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}"
    return {
        "ApiUrl": {
            "Description": "Where the API answers",
            "Value": {"Fn::Sub": f"https://{host}/{stage.name}"},
        },
        "ApiId": {"Value": {"Ref": API_ID}},
        "ApiStage": {"Value": {"Ref": STAGE_ID}},
    }


def _merge(
    template: dict[str, Any],
    sections: dict[str, dict[str, Any]],
    stack: Document | None,
    problems: Problems,
) -> None:
    """Take over the developer's own stack file; nothing of it is changed."""
    if stack is None:
        return
    for name, value in stack.value.items():
        where = stack.position((name,))
        if name == "Transform":
            problems.error(
                "a `Transform` in the stack file is not run yet",
                where=where,
                hint="write plain CloudFormation: functions and the API need no transform here",
            )
        elif name not in _SECTIONS:
            problems.error(
                f"`{name}` is not a section of a template",
                where=where,
                hint=f"one of {', '.join(_SECTIONS)}",
            )
        elif name not in _MERGED:
            template[name] = value
        elif value is not None and not isinstance(value, dict):
            problems.error(f"`{name}` is a map", where=where)
        else:
            _merge_section(sections[name], name, value or {}, stack, problems)
    _check_name_space(sections, stack, problems)


def _merge_section(
    section: dict[str, Any],
    name: str,
    members: Mapping[str, Any],
    stack: Document,
    problems: Problems,
) -> None:
    for key, member in members.items():
        where = stack.position((name, key))
        if key in section:
            problems.error(
                f"`{key}` is the name of something that is generated",
                where=where,
                hint="give yours another name",
            )
        elif not key.isalnum() or not key.isascii():
            problems.error(
                f"`{key}` cannot be a logical id", where=where, hint="letters and digits alone"
            )
        elif name == "Resources" and not (isinstance(member, dict) and "Type" in member):
            problems.error(f"the resource `{key}` has no `Type`", where=where)
        else:
            section[key] = member


def _check_name_space(
    sections: Mapping[str, Mapping[str, Any]], stack: Document, problems: Problems
) -> None:
    """Parameters and resources share their names."""
    for key in sections["Parameters"].keys() & sections["Resources"].keys():
        where: Position = stack.position(("Resources", key))
        problems.error(f"`{key}` is both a parameter and a resource", where=where)
