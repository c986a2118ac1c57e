"""What the registry schemas say of AWS::ApiGatewayV2: properties, replacement, attributes.

Source: the registry schemas in cfn-lint 1.51, us-east-1, read in November 2026.
"""

from lamington.stack.providers.base import ResourceFacts

API = ResourceFacts(
    create_only=frozenset({"ProtocolType"}),
    attributes=frozenset({"ApiEndpoint", "ApiId", "ExecuteApiArn"}),
    properties=frozenset(
        {
            *("ApiKeySelectionExpression", "BasePath", "Body", "BodyS3Location"),
            *("CorsConfiguration", "CredentialsArn", "Description", "DisableExecuteApiEndpoint"),
            *("DisableSchemaValidation", "FailOnWarnings", "IpAddressType", "Name"),
            *("ProtocolType", "RouteKey", "RouteSelectionExpression", "Tags", "Target", "Version"),
        }
    ),
    scalars={
        "Name": str,
        "Description": str,
        "Version": str,
        "DisableExecuteApiEndpoint": bool,
        "DisableSchemaValidation": bool,
        "FailOnWarnings": bool,
        "CorsConfiguration.AllowCredentials": bool,
        "CorsConfiguration.MaxAge": int,
        "Tags.*": str,
    },
)
ROUTE = ResourceFacts(
    create_only=frozenset({"ApiId"}),
    required=frozenset({"ApiId", "RouteKey"}),
    attributes=frozenset({"RouteId"}),
    properties=frozenset(
        {
            *("ApiId", "ApiKeyRequired", "AuthorizationScopes", "AuthorizationType"),
            *("AuthorizerId", "ModelSelectionExpression", "OperationName", "RequestModels"),
            *("RequestParameters", "RouteKey", "RouteResponseSelectionExpression", "Target"),
        }
    ),
    scalars={
        "ApiKeyRequired": bool,
        "OperationName": str,
        "RequestParameters.*.Required": bool,
        "RequestModels.*": str,
    },
)
ROUTE_RESPONSE = ResourceFacts(
    create_only=frozenset({"ApiId", "RouteId"}),
    required=frozenset({"ApiId", "RouteId", "RouteResponseKey"}),
    attributes=frozenset({"RouteResponseId"}),
    properties=frozenset(
        {
            *("ApiId", "ModelSelectionExpression", "ResponseModels", "ResponseParameters"),
            *("RouteId", "RouteResponseKey"),
        }
    ),
    scalars={"ResponseParameters.*.Required": bool, "ResponseModels.*": str},
)
INTEGRATION = ResourceFacts(
    create_only=frozenset({"ApiId"}),
    required=frozenset({"ApiId", "IntegrationType"}),
    attributes=frozenset({"IntegrationId"}),
    properties=frozenset(
        {
            *("ApiId", "ConnectionId", "ConnectionType", "ContentHandlingStrategy"),
            *("CredentialsArn", "Description", "IntegrationMethod", "IntegrationSubtype"),
            *("IntegrationType", "IntegrationUri", "PassthroughBehavior"),
            *("PayloadFormatVersion", "RequestParameters", "RequestTemplates"),
            *("ResponseParameters", "TemplateSelectionExpression", "TimeoutInMillis"),
            "TlsConfig",
        }
    ),
    scalars={
        "Description": str,
        "PayloadFormatVersion": str,
        "TimeoutInMillis": int,
        "RequestParameters.*": str,
        "RequestTemplates.*": str,
    },
)
INTEGRATION_RESPONSE = ResourceFacts(
    create_only=frozenset({"ApiId", "IntegrationId"}),
    required=frozenset({"ApiId", "IntegrationId", "IntegrationResponseKey"}),
    attributes=frozenset({"IntegrationResponseId"}),
    properties=frozenset(
        {
            *("ApiId", "ContentHandlingStrategy", "IntegrationId", "IntegrationResponseKey"),
            *("ResponseParameters", "ResponseTemplates", "TemplateSelectionExpression"),
        }
    ),
    scalars={"ResponseParameters.*": str, "ResponseTemplates.*": str},
)
AUTHORIZER = ResourceFacts(
    create_only=frozenset({"ApiId"}),
    required=frozenset({"ApiId", "AuthorizerType", "Name"}),
    attributes=frozenset({"AuthorizerId"}),
    properties=frozenset(
        {
            *("ApiId", "AuthorizerCredentialsArn", "AuthorizerPayloadFormatVersion"),
            *("AuthorizerResultTtlInSeconds", "AuthorizerType", "AuthorizerUri"),
            *("EnableSimpleResponses", "IdentitySource", "IdentityValidationExpression"),
            *("JwtConfiguration", "Name"),
        }
    ),
    scalars={
        "Name": str,
        "AuthorizerPayloadFormatVersion": str,
        "AuthorizerResultTtlInSeconds": int,
        "EnableSimpleResponses": bool,
    },
)
DEPLOYMENT = ResourceFacts(
    create_only=frozenset({"ApiId"}),
    required=frozenset({"ApiId"}),
    attributes=frozenset({"DeploymentId"}),
    properties=frozenset({"ApiId", "Description", "StageName"}),
    scalars={"Description": str, "StageName": str},
)
STAGE = ResourceFacts(
    create_only=frozenset({"ApiId", "StageName"}),
    required=frozenset({"ApiId", "StageName"}),
    properties=frozenset(
        {
            *("AccessLogSettings", "ApiId", "AutoDeploy", "ClientCertificateId"),
            *("DefaultRouteSettings", "DeploymentId", "Description", "RouteSettings"),
            *("StageName", "StageVariables", "Tags"),
        }
    ),
    scalars={
        "StageName": str,
        "Description": str,
        "AutoDeploy": bool,
        "StageVariables.*": str,
        "Tags.*": str,
        **{
            f"{place}.{name}": kind
            for place in ("DefaultRouteSettings", "RouteSettings.*")
            for name, kind in (
                ("DataTraceEnabled", bool),
                ("DetailedMetricsEnabled", bool),
                ("ThrottlingBurstLimit", int),
                ("ThrottlingRateLimit", float),
            )
        },
    },
    custom_name="StageName",
)
MODEL = ResourceFacts(
    create_only=frozenset({"ApiId"}),
    required=frozenset({"ApiId", "Name", "Schema"}),
    attributes=frozenset({"ModelId"}),
    properties=frozenset({"ApiId", "ContentType", "Description", "Name", "Schema"}),
    scalars={"Description": str},
)
VPC_LINK = ResourceFacts(
    create_only=frozenset({"SecurityGroupIds", "SubnetIds"}),
    required=frozenset({"Name", "SubnetIds"}),
    attributes=frozenset({"VpcLinkId"}),
    properties=frozenset({"Name", "SecurityGroupIds", "SubnetIds", "Tags"}),
    scalars={"Name": str, "Tags.*": str},
)
DOMAIN_NAME = ResourceFacts(
    create_only=frozenset({"DomainName"}),
    required=frozenset({"DomainName"}),
    attributes=frozenset({"DomainNameArn", "RegionalDomainName", "RegionalHostedZoneId"}),
    properties=frozenset(
        {
            *("DomainName", "DomainNameConfigurations", "MutualTlsAuthentication"),
            *("RoutingMode", "Tags"),
        }
    ),
    scalars={"Tags.*": str},
    custom_name="DomainName",
)
API_MAPPING = ResourceFacts(
    create_only=frozenset({"DomainName"}),
    required=frozenset({"ApiId", "DomainName", "Stage"}),
    attributes=frozenset({"ApiMappingId"}),
    properties=frozenset({"ApiId", "ApiMappingKey", "DomainName", "Stage"}),
    scalars={"ApiMappingKey": str},
)
ROUTING_RULE = ResourceFacts(
    create_only=frozenset({"DomainNameArn"}),
    required=frozenset({"Actions", "Conditions", "DomainNameArn", "Priority"}),
    attributes=frozenset({"RoutingRuleArn", "RoutingRuleId"}),
    properties=frozenset({"Actions", "Conditions", "DomainNameArn", "Priority"}),
    scalars={"Priority": int, "Actions.*.InvokeApi.StripBasePath": bool},
)
MANAGED_OVERRIDES = ResourceFacts(
    create_only=frozenset({"ApiId"}),
    required=frozenset({"ApiId"}),
    attributes=frozenset({"Id"}),
    properties=frozenset({"ApiId", "Integration", "Route", "Stage"}),
    scalars={
        "Integration.PayloadFormatVersion": str,
        "Integration.TimeoutInMillis": int,
        "Stage.AutoDeploy": bool,
        "Stage.StageVariables.*": str,
    },
)
