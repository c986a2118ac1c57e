"""What a walk over the operations of API Gateway needs: parameters from the model, and a world.

Parameters are made from the service's model: the smallest that are valid, or any. Where a member
is called as something that the world knows, such as `restApiId`, its value may be the real one.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from hypothesis import strategies as st

from lamington.testing import RunningEngine

ACCOUNT = "000000000000"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:walked"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
POOL = f"arn:aws:cognito-idp:us-east-1:{ACCOUNT}:userpool/us-east-1_walked"
BALANCER = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:loadbalancer/net/walked/1"
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1"
DOCUMENT = """{"openapi": "3.0.1", "info": {"title": "walked"}, "paths": {}}"""
EVERY_PATH = (
    *("/name", "/description", "/enabled", "/policy", "/variables/of", "/deploymentId"),
    *("/apiKeyRequired", "/authorizationType", "/requestParameters/a", "/uri", "/schema"),
    *("/throttle/rateLimit", "/quota/limit", "/quota/period", "/apiStages", "/stages"),
    *("/*/*/throttling/rateLimit", "/~1cakes/GET/caching/enabled", "/canarySettings"),
    *("/canarySettings/percentTraffic", "/accessLogSettings/format", "/binaryMediaTypes/a~1b"),
    *("/endpointConfiguration/types/EDGE", "/responseTemplates/application~1json", "/basePath"),
    *("/identitySource", "/authorizerResultTtlInSeconds", "/properties", "/pathPart", "/parentId"),
    *("/cacheClusterSize", "/minimumCompressionSize", "/cloudwatchRoleArn", "/remaining", "/"),
    *("/throttle", "/quota", "/restapiId", "/stage", "/statusCode", "/timeoutInMillis", "/a/b/c"),
)


@dataclass
class World:
    """Real things, by the members that name them in an operation."""

    names: dict[str, Any]
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    def known(self, operation: str) -> Mapping[str, Any]:
        """The names for an operation; some nouns are of another API of the world."""
        for noun, names in self.others.items():
            if noun in operation:
                return {**self.names, **names}
        return self.names


@dataclass(frozen=True)
class Outcome:
    """What came of one call: an answer, or an error's status, code and text."""

    answer: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    code: str = ""
    message: str = ""

    @property
    def is_proper(self) -> bool:
        """Whether it is a result, or an error that says what is wrong with the request."""
        says_why = self.message or self.code == "GoneException"  # Which has no members.
        return not self.code or bool(
            400 <= self.status < 500 and says_why and self.code not in ("400", "404", "Unknown")
        )


def called(client: Any, method: str, params: Mapping[str, Any]) -> Outcome:
    """Call an operation by its name in Python; what is streamed is read."""
    try:
        answer = getattr(client, method)(**params)
    except ClientError as refused:
        error, metadata = refused.response["Error"], refused.response["ResponseMetadata"]
        return Outcome(
            {}, metadata["HTTPStatusCode"], error.get("Code", ""), error.get("Message", "")
        )
    for value in answer.values():
        if hasattr(value, "read"):
            value.read()
    return Outcome(answer)


# Parameters


def smallest(model: OperationModel, known: Mapping[str, Any]) -> dict[str, Any]:
    """The required members alone, with real values where the world has them."""
    shape = model.input_shape
    return {} if shape is None else _smallest_structure(shape, known)


def _smallest_structure(shape: StructureShape, known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: known[name] if name in known else _smallest(shape.members[name], known)
        for name in shape.required_members
    }


def _smallest(shape: Shape, known: Mapping[str, Any]) -> Any:
    match shape:
        case StructureShape():
            return _smallest_structure(shape, known)
        case ListShape():
            return [_smallest(shape.member, known)]
        case MapShape():
            return {"a": _smallest(shape.value, known)}
        case StringShape():
            return shape.enum[0] if shape.enum else "none"
    return {"boolean": True, "blob": DOCUMENT.encode(), "timestamp": 0}.get(shape.type_name, 1)


def any_of(model: OperationModel, known: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any parameters that the model allows; three in four names are real ones."""
    shape = model.input_shape
    return st.just({}) if shape is None else _any_structure(shape, known, 0)


def _any_structure(
    shape: StructureShape, known: Mapping[str, Any], depth: int
) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: _any_named(name, member, known, depth) for name, member in shape.members.items()
    }
    required = {name: members.pop(name) for name in shape.required_members}
    return st.fixed_dictionaries(required, optional=members)


def _any_named(
    name: str, shape: Shape, known: Mapping[str, Any], depth: int
) -> st.SearchStrategy[Any]:
    if name == "path" and depth:
        return st.sampled_from(EVERY_PATH) | st.sampled_from(EVERY_PATH).map(lambda it: it + "/x")
    anything = _any(shape, known, depth + 1)
    if name not in known:
        return anything
    real = st.just(known[name])
    return st.one_of(real, real, real, anything)


def _any(shape: Shape, known: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    match shape:
        case StructureShape():
            return _any_structure(shape, known, depth)
        case ListShape():
            return st.lists(_any(shape.member, known, depth), max_size=3)
        case MapShape():
            return st.dictionaries(_text(shape.key), _any(shape.value, known, depth), max_size=3)
        case StringShape():
            return st.sampled_from(shape.enum) if shape.enum else _text(shape)
    match shape.type_name:
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(max_size=50) | st.just(DOCUMENT.encode())
        case "double" | "float":
            return st.floats(-(2.0**31), 2.0**31)
        case "timestamp":
            return st.datetimes()
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    return st.integers(least if least is not None else -(2**31), most or 2**31 - 1)


def _text(shape: Shape) -> st.SearchStrategy[str]:
    """Text for any place: headers and addresses take no control characters, and are not empty."""
    telling = ("$default", "*", "{}", "[", "a/b", "arn:aws:x", "1", "true", "/", "${x", "é", " a")
    letters = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
    return st.sampled_from(telling) | letters


# Worlds

BACKENDS: Mapping[str, Mapping[str, Any]] = {
    "HTTP_PROXY": {
        "IntegrationMethod": "GET",
        "IntegrationUri": "https://example.com",
        "PayloadFormatVersion": "1.0",
    },
    "MOCK": {
        "TemplateSelectionExpression": "\\$default",
        "RequestTemplates": {"$default": '{"statusCode": 200}'},
    },
}
"""What an integration needs; the mock one tells clients their connection."""


_numbers = itertools.count()


def _ids(made: Mapping[str, Any], name: str = "id") -> str:
    return str(made[name])


def rest_world(engine: RunningEngine) -> World:
    """A REST API with one of everything, and a plan, a key and domain names beside it."""
    client = engine.client("apigateway")
    number = next(_numbers)
    api = _ids(client.create_rest_api(name="walked", tags={"a": "1"}))
    (root,) = client.get_resources(restApiId=api)["items"]
    resource = _ids(client.create_resource(restApiId=api, parentId=root["id"], pathPart="cakes"))
    where = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
    client.put_method(**where, authorizationType="NONE")
    client.put_method_response(**where, statusCode="200")
    client.put_integration(
        **where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
    )
    client.put_integration_response(**where, statusCode="200")
    client.put_gateway_response(restApiId=api, responseType="DEFAULT_4XX")
    client.create_model(restApiId=api, name="Cake", contentType="application/json", schema="{}")
    part = client.create_documentation_part(
        restApiId=api, location={"type": "API"}, properties="{}"
    )
    client.create_documentation_version(restApiId=api, documentationVersion="1")
    deployment = _ids(client.create_deployment(restApiId=api, stageName="live"))
    stages = [{"apiId": api, "stage": "live"}]
    quota = {"limit": 9, "period": "DAY"}
    plan = _ids(client.create_usage_plan(name="walked", apiStages=stages, quota=quota))
    key = client.create_api_key(name=f"walked{number}", enabled=True)
    client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
    domain, private = f"d{number}.walked.example", f"p{number}.walked.example"
    client.create_domain_name(domainName=domain)
    client.create_base_path_mapping(domainName=domain, basePath="shop", restApiId=api, stage="live")
    hidden = client.create_domain_name(
        domainName=private, endpointConfiguration={"types": ["PRIVATE"]}
    )
    allowed, rejected = (
        client.create_domain_name_access_association(
            domainNameArn=hidden["domainNameArn"],
            accessAssociationSourceType="VPCE",
            accessAssociationSource=source,
        )["domainNameAccessAssociationArn"]
        for source in ("vpce-1", "vpce-2")
    )
    authorizer = client.create_authorizer(
        restApiId=api, name="pool", type="COGNITO_USER_POOLS", providerARNs=[POOL]
    )
    validator = client.create_request_validator(restApiId=api, name="all")
    link = client.create_vpc_link(name="walked", targetArns=[BALANCER])
    certificate = client.generate_client_certificate()["clientCertificateId"]
    return World(
        {
            **{"restApiId": api, "apiId": api, "resourceId": resource, "parentId": root["id"]},
            **{"httpMethod": "GET", "statusCode": "200", "modelName": "Cake"},
            **{"requestValidatorId": _ids(validator), "authorizerId": _ids(authorizer)},
            **{"documentationPartId": _ids(part), "documentationVersion": "1"},
            **{"deploymentId": deployment, "stageName": "live", "apiKey": key["id"]},
            **{"usagePlanId": plan, "keyId": key["id"], "keyType": "API_KEY"},
            **{"domainName": domain, "basePath": "shop", "vpcLinkId": _ids(link)},
            **{"clientCertificateId": certificate, "responseType": "DEFAULT_4XX"},
            "domainNameAccessAssociationArn": allowed,
            "domainNameArn": hidden["domainNameArn"],
            "resourceArn": f"arn:aws:apigateway:us-east-1::/restapis/{api}",
        },
        {
            "Reject": {"domainNameAccessAssociationArn": rejected},
            "CreateStage": {"deploymentId": _ids(client.create_deployment(restApiId=api))},
        },
    )


def v2_world(engine: RunningEngine) -> World:
    """An HTTP API and a WebSocket API with one of everything, and a domain name."""
    client = engine.client("apigatewayv2")
    http = client.create_api(Name="walked", ProtocolType="HTTP", CorsConfiguration={"MaxAge": 1})
    names = _api_of(client, http["ApiId"], "GET /cakes", "HTTP_PROXY")
    socket = client.create_api(
        Name="walked", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )
    others = _api_of(client, socket["ApiId"], "$default", "MOCK")
    api, route, integration = (others[name] for name in ("ApiId", "RouteId", "IntegrationId"))
    client.update_route(
        ApiId=api, RouteId=route, RequestParameters={"route.request.header.a": {"Required": True}}
    )
    others["ModelId"] = client.create_model(
        ApiId=api, Name="Cake", Schema="{}", ContentType="application/json"
    )["ModelId"]
    others["RouteResponseId"] = client.create_route_response(
        ApiId=api, RouteId=route, RouteResponseKey="$default"
    )["RouteResponseId"]
    others["IntegrationResponseId"] = client.create_integration_response(
        ApiId=api,
        IntegrationId=integration,
        IntegrationResponseKey="$default",
        TemplateSelectionExpression="\\$default",
        ResponseTemplates={"$default": "$context.connectionId"},
    )["IntegrationResponseId"]
    client.update_stage(
        ApiId=api,
        StageName="live",
        DeploymentId=client.create_deployment(ApiId=api)["DeploymentId"],
    )
    others["RequestParameterKey"] = "route.request.header.a"
    names["AuthorizerId"] = client.create_authorizer(
        ApiId=http["ApiId"],
        Name="pool",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": "https://pool.example", "Audience": ["a"]},
    )["AuthorizerId"]
    names |= _domain_of(client, http["ApiId"])
    link = client.create_vpc_link(Name="walked", SubnetIds=["subnet-1"])
    names |= {
        "VpcLinkId": link["VpcLinkId"],
        "ResourceArn": f"arn:aws:apigateway:us-east-1::/apis/{http['ApiId']}",
    }
    nouns = ("RouteResponse", "IntegrationResponse", "Model", "RouteRequestParameter")
    return World(names, dict.fromkeys(nouns, others))


def _api_of(client: Any, api: str, key: str, kind: str) -> dict[str, Any]:
    integration = client.create_integration(ApiId=api, IntegrationType=kind, **BACKENDS[kind])[
        "IntegrationId"
    ]
    answers = {"RouteResponseSelectionExpression": "$default"} if kind == "MOCK" else {}
    route = client.create_route(
        ApiId=api, RouteKey=key, Target=f"integrations/{integration}", **answers
    )
    deployment = client.create_deployment(ApiId=api)["DeploymentId"]
    client.create_stage(
        ApiId=api,
        StageName="live",
        DeploymentId=deployment,
        AccessLogSettings={
            "Format": "$context.requestId",
            "DestinationArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:walked",
        },
        RouteSettings={key: {"ThrottlingRateLimit": 5.0}},
    )
    return {
        **{"ApiId": api, "IntegrationId": integration, "RouteId": route["RouteId"]},
        **{"DeploymentId": deployment, "StageName": "live", "Stage": "live", "RouteKey": key},
    }


def _domain_of(client: Any, api: str) -> dict[str, Any]:
    domain = f"v{next(_numbers)}.walked.example"
    client.create_domain_name(
        DomainName=domain, DomainNameConfigurations=[{"CertificateArn": CERTIFICATE}]
    )
    mapping = client.create_api_mapping(
        DomainName=domain, ApiId=api, Stage="live", ApiMappingKey="shop"
    )
    rule = client.create_routing_rule(
        DomainName=domain,
        Priority=1,
        Conditions=[{"MatchBasePaths": {"AnyOf": ["beta"]}}],
        Actions=[{"InvokeApi": {"ApiId": api, "Stage": "live"}}],
    )
    return {
        **{"DomainName": domain, "ApiMappingId": mapping["ApiMappingId"]},
        "RoutingRuleId": rule["RoutingRuleId"],
    }


LAST = (
    *("DeleteDeployment", "DeleteRoute", "DeleteIntegration", "DeleteMethod", "DeleteResource"),
    *("ReimportApi", "DeleteUsagePlan", "DeleteApiKey", "DeleteDomainName", "DeleteApi"),
    "DeleteRestApi",
)


def in_walking_order(operations: Iterable[str]) -> list[str]:
    """The operations in an order in which what one takes away no later one needs."""

    def place(name: str) -> tuple[int, str]:
        if name in LAST:
            return 2 + LAST.index(name), name
        return int(name.startswith(("Delete", "Reject"))), name

    return sorted(operations, key=place)
