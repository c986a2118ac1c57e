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
API_KEY = ResourceFacts(
    create_only=frozenset({"GenerateDistinctId", "Name", "Value"}),
    attributes=frozenset({"APIKeyId"}),
    properties=frozenset(
        {
            *("CustomerId", "Description", "Enabled", "GenerateDistinctId", "Name"),
            *("StageKeys", "Tags", "Value"),
        }
    ),
    scalars={"Enabled": bool, "GenerateDistinctId": bool, "Value": str},
)
USAGE_PLAN = ResourceFacts(
    attributes=frozenset({"Id"}),
    properties=frozenset(
        {"ApiStages", "Description", "Quota", "Tags", "Throttle", "UsagePlanName"}
    ),
    scalars={
        "Quota.Limit": int,
        "Quota.Offset": int,
        "Throttle.BurstLimit": int,
        "Throttle.RateLimit": float,
        "ApiStages.*.Throttle.*.BurstLimit": int,
        "ApiStages.*.Throttle.*.RateLimit": float,
    },
)
USAGE_PLAN_KEY = ResourceFacts(
    create_only=frozenset({"KeyId", "KeyType", "UsagePlanId"}),
    required=frozenset({"KeyId", "KeyType", "UsagePlanId"}),
    attributes=frozenset({"Id"}),
    properties=frozenset({"KeyId", "KeyType", "UsagePlanId"}),
)
AUTHORIZER = ResourceFacts(
    create_only=frozenset({"RestApiId"}),
    required=frozenset({"Name", "RestApiId", "Type"}),
    attributes=frozenset({"AuthorizerId"}),
    properties=frozenset(
        {
            *("AuthType", "AuthorizerCredentials", "AuthorizerResultTtlInSeconds"),
            *("AuthorizerUri", "IdentitySource", "IdentityValidationExpression", "Name"),
            *("ProviderARNs", "RestApiId", "Type"),
        }
    ),
    scalars={"AuthorizerResultTtlInSeconds": int, "Name": str},
)
REQUEST_VALIDATOR = ResourceFacts(
    create_only=frozenset({"Name", "RestApiId"}),
    required=frozenset({"RestApiId"}),
    attributes=frozenset({"RequestValidatorId"}),
    properties=frozenset({"Name", "RestApiId", "ValidateRequestBody", "ValidateRequestParameters"}),
    scalars={"ValidateRequestBody": bool, "ValidateRequestParameters": bool},
)
CLIENT_CERTIFICATE = ResourceFacts(
    attributes=frozenset({"ClientCertificateId"}),
    properties=frozenset({"Description", "Tags"}),
)
DOCUMENTATION_PART = ResourceFacts(
    create_only=frozenset({"Location", "RestApiId"}),
    required=frozenset({"Location", "Properties", "RestApiId"}),
    attributes=frozenset({"DocumentationPartId"}),
    properties=frozenset({"Location", "Properties", "RestApiId"}),
    scalars={"Location.StatusCode": str},
)
DOCUMENTATION_VERSION = ResourceFacts(
    create_only=frozenset({"DocumentationVersion", "RestApiId"}),
    required=frozenset({"DocumentationVersion", "RestApiId"}),
    properties=frozenset({"Description", "DocumentationVersion", "RestApiId"}),
    scalars={"DocumentationVersion": str},
)
VPC_LINK = ResourceFacts(
    create_only=frozenset({"TargetArns"}),
    required=frozenset({"Name", "TargetArns"}),
    attributes=frozenset({"VpcLinkId"}),
    properties=frozenset({"Description", "Name", "Tags", "TargetArns"}),
)
DOMAIN_NAME = ResourceFacts(
    create_only=frozenset({"DomainName"}),
    required=frozenset({"DomainName"}),
    attributes=frozenset(
        {
            *("DistributionDomainName", "DistributionHostedZoneId", "DomainNameArn"),
            *("RegionalDomainName", "RegionalHostedZoneId"),
        }
    ),
    properties=frozenset(
        {
            *("CertificateArn", "DomainName", "EndpointAccessMode", "EndpointConfiguration"),
            *("MutualTlsAuthentication", "OwnershipVerificationCertificateArn"),
            *("RegionalCertificateArn", "RoutingMode", "SecurityPolicy", "Tags"),
        }
    ),
    custom_name="DomainName",
)
DOMAIN_NAME_V2 = ResourceFacts(
    create_only=frozenset({"DomainName", "EndpointConfiguration", "SecurityPolicy"}),
    required=frozenset({"DomainName"}),
    attributes=frozenset({"DomainNameArn", "DomainNameId"}),
    properties=frozenset(
        {
            *("CertificateArn", "DomainName", "EndpointAccessMode", "EndpointConfiguration"),
            *("Policy", "RoutingMode", "SecurityPolicy", "Tags"),
        }
    ),
    custom_name="DomainName",
)
BASE_PATH_MAPPING = ResourceFacts(
    create_only=frozenset({"BasePath", "DomainName"}),
    # The registry does not ask for the API, but API Gateway does.
    required=frozenset({"DomainName", "RestApiId"}),
    properties=frozenset({"BasePath", "DomainName", "RestApiId", "Stage"}),
    scalars={"BasePath": str},
)
BASE_PATH_MAPPING_V2 = ResourceFacts(
    create_only=frozenset({"BasePath", "DomainNameArn"}),
    required=frozenset({"DomainNameArn", "RestApiId"}),
    attributes=frozenset({"BasePathMappingArn"}),
    properties=frozenset({"BasePath", "DomainNameArn", "RestApiId", "Stage"}),
    scalars={"BasePath": str},
)
ACCESS_ASSOCIATION = ResourceFacts(
    create_only=frozenset(
        {"AccessAssociationSource", "AccessAssociationSourceType", "DomainNameArn", "Tags"}
    ),
    required=frozenset({"AccessAssociationSource", "AccessAssociationSourceType", "DomainNameArn"}),
    attributes=frozenset({"DomainNameAccessAssociationArn"}),
    properties=frozenset(
        {"AccessAssociationSource", "AccessAssociationSourceType", "DomainNameArn", "Tags"}
    ),
)
