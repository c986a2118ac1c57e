"""What the registry schemas say of the AWS::ApiGateway types: properties, replacement, attributes.

Source: the registry schemas in cfn-lint 1.51, us-east-1, read in November 2026.
"""

from collections.abc import Mapping

from lamington.stack.providers.base import ResourceFacts

REST_API = ResourceFacts(
    attributes=frozenset({"RestApiId", "RootResourceId"}),
    properties=frozenset(
        {
            "ApiKeySourceType",
            "BinaryMediaTypes",
            "Body",
            "BodyS3Location",
            "CloneFrom",
            "Description",
            "DisableExecuteApiEndpoint",
            "EndpointAccessMode",
            "EndpointConfiguration",
            "FailOnWarnings",
            "MinimumCompressionSize",
            "Mode",
            "Name",
            "Parameters",
            "Policy",
            "SecurityPolicy",
            "Tags",
            "Version",
        }
    ),
    scalars={
        "Name": str,
        "Description": str,
        "Version": str,
        "DisableExecuteApiEndpoint": bool,
        "FailOnWarnings": bool,
        "MinimumCompressionSize": int,
        "Parameters.*": str,
    },
)
RESOURCE = ResourceFacts(
    create_only=frozenset({"PathPart", "ParentId", "RestApiId"}),
    required=frozenset({"PathPart", "ParentId", "RestApiId"}),
    attributes=frozenset({"ResourceId"}),
    properties=frozenset({"PathPart", "ParentId", "RestApiId"}),
    scalars={"PathPart": str},
)
METHOD = ResourceFacts(
    create_only=frozenset({"RestApiId", "ResourceId", "HttpMethod"}),
    required=frozenset({"RestApiId", "ResourceId", "HttpMethod"}),
    properties=frozenset(
        {
            "ApiKeyRequired",
            "AuthorizationScopes",
            "AuthorizationType",
            "AuthorizerId",
            "HttpMethod",
            "Integration",
            "MethodResponses",
            "OperationName",
            "RequestModels",
            "RequestParameters",
            "RequestValidatorId",
            "ResourceId",
            "RestApiId",
        }
    ),
    scalars={
        "ApiKeyRequired": bool,
        "RequestParameters.*": bool,
        "MethodResponses.*.StatusCode": str,
        "MethodResponses.*.ResponseParameters.*": bool,
        "Integration.TimeoutInMillis": int,
        "Integration.RequestParameters.*": str,
        "Integration.IntegrationResponses.*.StatusCode": str,
        "Integration.IntegrationResponses.*.ResponseParameters.*": str,
    },
)
_STAGE_SCALARS: Mapping[str, type] = {
    "CacheClusterEnabled": bool,
    "CacheClusterSize": str,
    "Description": str,
    "TracingEnabled": bool,
    "Variables.*": str,
    "MethodSettings.*.CacheDataEncrypted": bool,
    "MethodSettings.*.CacheTtlInSeconds": int,
    "MethodSettings.*.CachingEnabled": bool,
    "MethodSettings.*.DataTraceEnabled": bool,
    "MethodSettings.*.MetricsEnabled": bool,
    "MethodSettings.*.ThrottlingBurstLimit": int,
    "MethodSettings.*.ThrottlingRateLimit": float,
    "CanarySetting.PercentTraffic": float,
    "CanarySetting.UseStageCache": bool,
    "CanarySetting.StageVariableOverrides.*": str,
}
DEPLOYMENT = ResourceFacts(
    create_only=frozenset({"DeploymentCanarySettings", "RestApiId"}),
    required=frozenset({"RestApiId"}),
    attributes=frozenset({"DeploymentId"}),
    properties=frozenset(
        {"DeploymentCanarySettings", "Description", "RestApiId", "StageDescription", "StageName"}
    ),
    scalars={
        "Description": str,
        **{f"StageDescription.{path}": kind for path, kind in _STAGE_SCALARS.items()},
        "StageDescription.CacheDataEncrypted": bool,
        "StageDescription.CacheTtlInSeconds": int,
        "StageDescription.CachingEnabled": bool,
        "StageDescription.DataTraceEnabled": bool,
        "StageDescription.MetricsEnabled": bool,
        "StageDescription.ThrottlingBurstLimit": int,
        "StageDescription.ThrottlingRateLimit": float,
    },
)
STAGE = ResourceFacts(
    create_only=frozenset({"RestApiId", "StageName"}),
    required=frozenset({"RestApiId"}),
    properties=frozenset(
        {
            "AccessLogSetting",
            "CacheClusterEnabled",
            "CacheClusterSize",
            "CanarySetting",
            "ClientCertificateId",
            "DeploymentId",
            "Description",
            "DocumentationVersion",
            "MethodSettings",
            "RestApiId",
            "StageName",
            "Tags",
            "TracingEnabled",
            "Variables",
        }
    ),
    scalars={**_STAGE_SCALARS, "StageName": str},
    custom_name="StageName",
)
ACCOUNT = ResourceFacts(attributes=frozenset({"Id"}), properties=frozenset({"CloudWatchRoleArn"}))
MODEL = ResourceFacts(
    create_only=frozenset({"ContentType", "Name", "RestApiId"}),
    required=frozenset({"RestApiId"}),
    properties=frozenset({"ContentType", "Description", "Name", "RestApiId", "Schema"}),
    custom_name="Name",
)
GATEWAY_RESPONSE = ResourceFacts(
    create_only=frozenset({"ResponseType", "RestApiId"}),
    required=frozenset({"ResponseType", "RestApiId"}),
    attributes=frozenset({"Id"}),
    properties=frozenset(
        {"ResponseParameters", "ResponseTemplates", "ResponseType", "RestApiId", "StatusCode"}
    ),
    scalars={"StatusCode": str, "ResponseParameters.*": str, "ResponseTemplates.*": str},
)
