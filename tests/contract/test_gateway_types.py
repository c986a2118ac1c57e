"""The suite of Provider for API Gateway's types, through an engine's own operations.

What a provider makes it can find, change there and back, and end twice over.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from gateway_walk import BALANCER, CERTIFICATE, POOL, URI, rest_world, v2_world
from lamington.core.errors import ResourceError
from lamington.stack.providers.base import Finder, Provider, ResourceContext
from lamington.testing import RunningEngine, running_engine

V1, V2 = "AWS::ApiGateway::", "AWS::ApiGatewayV2::"
API = {"RestApiId": "$restApiId"}
ACTIONS = [{"InvokeApi": {"ApiId": "$ApiId", "Stage": "live", "StripBasePath": True}}]


@dataclass(frozen=True)
class Subject:
    """A type with properties before and after an update, whose `$names` are of the world."""

    type: str
    before: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)
    """What the Get of the type shows after the update."""


SUBJECTS = (
    Subject(V1 + "Resource", {**API, "ParentId": "$resourceId", "PathPart": "below"}),
    Subject(
        V1 + "Model",
        {**API, "Schema": {"type": "object"}, "Description": "d"},
        {"Schema": {"type": "array"}, "Description": "e"},
        {"schema": '{"type":"array"}', "description": "e"},
    ),
    Subject(
        V1 + "RequestValidator",
        {**API, "ValidateRequestBody": True},
        {"ValidateRequestBody": None, "ValidateRequestParameters": "true"},
        {"validateRequestBody": False, "validateRequestParameters": True},
    ),
    Subject(
        V1 + "Authorizer",
        {
            **API,
            **{"Name": "door", "Type": "TOKEN", "AuthorizerUri": URI},
            **{"IdentitySource": "method.request.header.A", "AuthorizerResultTtlInSeconds": 60},
        },
        {"IdentitySource": "method.request.header.B", "AuthorizerResultTtlInSeconds": None},
        {"identitySource": "method.request.header.B", "authorizerResultTtlInSeconds": 300},
    ),
    Subject(
        V1 + "Authorizer",
        {**API, "Name": "second", "Type": "COGNITO_USER_POOLS", "ProviderARNs": [POOL]},
        {"Name": "pools", "ProviderARNs": [POOL + "2"]},
        {"name": "pools", "providerARNs": [POOL + "2"]},
    ),
    Subject(
        V1 + "DocumentationPart",
        {**API, "Location": {"Type": "METHOD", "Path": "/", "Method": "GET"}, "Properties": "{}"},
        {"Properties": '{"a": 1}'},
        {"properties": '{"a": 1}'},
    ),
    Subject(
        V1 + "DocumentationVersion",
        {**API, "DocumentationVersion": "2", "Description": "d"},
        {"Description": "e"},
        {"description": "e"},
    ),
    Subject(
        V1 + "ApiKey",
        {
            "StageKeys": [{"RestApiId": "$restApiId", "StageName": "live"}],
            "Tags": [{"Key": "a", "Value": "1"}],
        },
        {"StageKeys": [], "Enabled": "true", "CustomerId": "c", "Tags": []},
        {"stageKeys": [], "enabled": True, "customerId": "c"},
    ),
    Subject(
        V1 + "UsagePlan",
        {
            "Description": "d",
            "Quota": {"Limit": 5, "Offset": 1, "Period": "WEEK"},
            "Throttle": {"BurstLimit": 5, "RateLimit": 5},
        },
        {
            "Description": None,
            "Quota": {"Limit": 7, "Period": "DAY"},
            "Throttle": {"RateLimit": 7},
            "ApiStages": [
                {"ApiId": "$restApiId", "Stage": "live", "Throttle": {"/a/GET": {"RateLimit": 1}}}
            ],
        },
        {
            "quota": {"limit": 7, "offset": 0, "period": "DAY"},
            "throttle": {"rateLimit": 7.0},
            "apiStages": [
                {"apiId": "$restApiId", "stage": "live", "throttle": {"/a/GET": {"rateLimit": 1.0}}}
            ],
        },
    ),
    Subject(
        V1 + "UsagePlanKey", {"UsagePlanId": "$plan", "KeyId": "$apiKey", "KeyType": "API_KEY"}
    ),
    Subject(
        V1 + "ClientCertificate", {"Description": "d"}, {"Description": "e"}, {"description": "e"}
    ),
    Subject(
        V1 + "VpcLink",
        {"Name": "n", "TargetArns": [BALANCER]},
        {"Name": "m", "Tags": [{"Key": "a", "Value": "1"}]},
        {"name": "m"},
    ),
    Subject(
        V1 + "DomainName",
        {
            **{"DomainName": "a.example", "RegionalCertificateArn": CERTIFICATE},
            **{"EndpointConfiguration": {"Types": ["REGIONAL"]}, "SecurityPolicy": "TLS_1_0"},
            "MutualTlsAuthentication": {"TruststoreUri": "s3://a/b"},
        },
        {
            **{"RegionalCertificateArn": None, "CertificateArn": CERTIFICATE},
            **{"EndpointConfiguration": {"Types": ["EDGE"]}, "SecurityPolicy": None},
            "MutualTlsAuthentication": {"TruststoreUri": "s3://a/c", "TruststoreVersion": "1"},
        },
        {
            **{"certificateArn": CERTIFICATE, "securityPolicy": "TLS_1_2"},
            "mutualTlsAuthentication": {"truststoreUri": "s3://a/c", "truststoreVersion": "1"},
        },
    ),
    Subject(
        V1 + "DomainNameV2",
        {"DomainName": "b.example", "EndpointConfiguration": {"Types": ["PRIVATE"]}},
        {"Policy": {"Statement": []}, "Tags": [{"Key": "a", "Value": "1"}]},
    ),
    Subject(
        V1 + "BasePathMapping",
        {"DomainName": "$domainName", "RestApiId": "$restApiId", "Stage": "live"},
        {"Stage": None},
        {"basePath": "(none)", "restApiId": "$restApiId"},
    ),
    Subject(
        V1 + "BasePathMappingV2",
        {"DomainNameArn": "$domainNameArn", "RestApiId": "$restApiId", "BasePath": "in"},
        {"Stage": "live"},
        {"stage": "live"},
    ),
    Subject(
        V1 + "DomainNameAccessAssociation",
        {
            **{"DomainNameArn": "$domainNameArn", "AccessAssociationSource": "vpce-9"},
            "AccessAssociationSourceType": "VPCE",
        },
    ),
    Subject(
        V2 + "DomainName",
        {"DomainName": "c.example", "DomainNameConfigurations": [{"CertificateArn": CERTIFICATE}]},
        {"RoutingMode": "ROUTING_RULE_ONLY", "Tags": {"a": "1"}},
        {"RoutingMode": "ROUTING_RULE_ONLY"},
    ),
    Subject(
        V2 + "ApiMapping",
        {"DomainName": "$DomainName", "ApiId": "$ApiId", "Stage": "live", "ApiMappingKey": "k"},
        {"ApiMappingKey": "l"},
        {"ApiMappingKey": "l"},
    ),
    Subject(
        V2 + "RoutingRule",
        {
            **{"DomainNameArn": "$arn", "Priority": "8", "Actions": ACTIONS},
            "Conditions": [{"MatchBasePaths": {"AnyOf": ["a"]}}],
        },
        {"Priority": 9, "Conditions": [{"MatchBasePaths": {"AnyOf": ["b"]}}]},
        {"Priority": 9},
    ),
)


class Bench:
    """An engine with a world of both versions, in which providers work for one stack."""

    def __init__(self, engine: RunningEngine) -> None:
        self.engine = engine
        v1, v2 = rest_world(engine).names, v2_world(engine).names
        plan = engine.client("apigateway").create_usage_plan(name="empty")["id"]
        arn = f"arn:aws:apigateway:us-east-1::/domainnames/{v2['DomainName']}"
        self.world = {**v1, **v2, "plan": plan, "arn": arn}
        self.context = ResourceContext(
            scope=engine.scope,
            stack_name="cakes",
            stack_id="arn:aws:cloudformation:us-east-1:000000000000:stack/cakes/1",
            logical_id="Made",
            token="made",
            tags={"team": "buns"},
        )

    def filled(self, values: dict[str, Any]) -> dict[str, Any]:
        text = string.Template(msgspec.json.encode(values).decode()).safe_substitute(self.world)
        known: dict[str, Any] = msgspec.json.decode(text)
        return {name: value for name, value in known.items() if value is not None}

    def provider(self, subject: Subject) -> Provider:
        return self.engine.engine.providers[subject.type]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with running_engine() as engine:
        yield Bench(engine)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda it: it.type.rpartition("::")[2])
def test_it_comes_changes_and_goes(bench: Bench, subject: Subject) -> None:
    run, provider, context = bench.engine.run, bench.provider(subject), bench.context
    assert isinstance(provider, Finder)
    for each in (subject.before, subject.before | subject.after):
        assert provider.facts.problems(bench.filled(each)) == []
    before = provider.facts.converted(bench.filled(subject.before))
    after = provider.facts.converted(bench.filled(subject.before | subject.after))

    assert run(provider.find(before, context)) is None
    made = run(provider.create(before, context))
    assert made.attributes.keys() == provider.facts.attributes
    assert run(provider.find(before, context)) == made.physical_id

    changed = run(provider.update(made.physical_id, after, before, context))
    assert changed.physical_id == made.physical_id
    expected = bench.filled(subject.shown)
    shown = _shown(bench, subject, made.physical_id, after)
    assert {name: shown.get(name) for name in expected} == expected
    assert run(provider.update(made.physical_id, before, after, context)) == made
    assert run(provider.update(made.physical_id, after, before, context)) == changed

    for _ in range(2):
        run(provider.delete(made.physical_id, after, context))
    assert run(provider.find(after, context)) is None


def _shown(
    bench: Bench, subject: Subject, physical_id: str, properties: dict[str, Any]
) -> dict[str, Any]:
    """What Get says of it: its parameters are its parents and one that is its id."""
    if not subject.shown:
        return {}
    version, _, noun = subject.type.removeprefix("AWS::").lower().partition("::")
    noun = subject.type.rpartition("::")[2].removesuffix("V2")
    operation = bench.engine.client(version).meta.service_model.operation_model(f"Get{noun}")
    shape = operation.input_shape
    assert shape is not None
    given = {name.lower(): value for name, value in properties.items()}
    given["basepath"] = given.get("basepath", "(none)")
    for arn in ("domainNameArn", "arn"):
        if properties.get("DomainNameArn") == bench.world[arn]:
            given["domainname"] = str(bench.world[arn]).rpartition("/")[2].partition("+")[0]
    params = {
        name: given.get(name.lower(), physical_id.rpartition("/")[2])
        for name in shape.required_members
    }
    result: dict[str, Any] = bench.engine.run(
        bench.engine.engine.caller.call(f"{version}:Get{noun}", params, bench.engine.scope)
    )
    return result


def test_a_plan_that_has_stages_is_deleted(bench: Bench) -> None:
    """API Gateway refuses to: the stages are taken from it first, whoever gave it them."""
    subject = next(each for each in SUBJECTS if each.type.endswith("UsagePlan"))
    provider, context, run = bench.provider(subject), bench.context, bench.engine.run
    made = run(provider.create(bench.filled(subject.before), context))
    stage = f"{bench.world['restApiId']}:live"
    client = bench.engine.client("apigateway")
    client.update_usage_plan(
        usagePlanId=made.physical_id,
        patchOperations=[{"op": "add", "path": "/apiStages", "value": stage}],
    )
    run(provider.delete(made.physical_id, bench.filled(subject.before), context))
    assert made.physical_id not in [each["id"] for each in client.get_usage_plans()["items"]]


def test_overrides_need_what_quick_create_makes(bench: Bench) -> None:
    provider = bench.engine.engine.providers[V2 + "ApiGatewayManagedOverrides"]
    overrides = {"ApiId": bench.world["ApiId"], "Route": {"OperationName": "All"}}
    with pytest.raises(ResourceError, match="has no route that is managed by API Gateway"):
        bench.engine.run(provider.create(overrides, bench.context))
