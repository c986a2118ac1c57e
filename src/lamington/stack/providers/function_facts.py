"""What the registry says of AWS::Lambda::*: a table, and nothing but.

Source: the registry schemas of us-east-1 as cfn-lint 1.58 carries them (2026); a test compares.
Left to others: how the types come and go (`functions`).
"""

from lamington.stack.providers.base import ResourceFacts

FUNCTION = ResourceFacts(
    create_only=frozenset({"FunctionName", "PackageType", "TenancyConfig"}),
    required=frozenset({"Code", "Role"}),
    attributes=frozenset(
        {"Arn", "SnapStartResponse.ApplyOn", "SnapStartResponse.OptimizationStatus"}
    ),
    properties=frozenset(
        {
            *("Architectures", "CapacityProviderConfig", "Code", "CodeSigningConfigArn"),
            *("DeadLetterConfig", "Description", "DurableConfig", "Environment"),
            *("EphemeralStorage", "FileSystemConfigs", "FunctionName", "FunctionScalingConfig"),
            *("Handler", "ImageConfig", "KmsKeyArn", "Layers", "LoggingConfig", "MemorySize"),
            *("PackageType", "PublishToLatestPublished", "RecursiveLoop"),
            *("ReservedConcurrentExecutions", "Role", "Runtime", "RuntimeManagementConfig"),
            *("SnapStart", "Tags", "TenancyConfig", "Timeout", "TracingConfig", "VpcConfig"),
        }
    ),
    scalars={
        "Code.S3Bucket": str,
        "Code.S3Key": str,
        "Code.S3ObjectVersion": str,
        "Description": str,
        "DurableConfig.ExecutionTimeout": int,
        "DurableConfig.RetentionPeriodInDays": int,
        "Environment.Variables.*": str,
        "EphemeralStorage.Size": int,
        "FunctionName": str,
        "Handler": str,
        "MemorySize": int,
        "ReservedConcurrentExecutions": int,
        "Runtime": str,
        "Tags.*.Key": str,
        "Tags.*.Value": str,
        "Timeout": int,
        "VpcConfig.Ipv6AllowedForDualStack": bool,
    },
    custom_name="FunctionName",
)

VERSION = ResourceFacts(
    create_only=frozenset(
        {
            *("FunctionName", "Description", "CodeSha256", "ProvisionedConcurrencyConfig"),
            "RuntimePolicy",
        }
    ),
    required=frozenset({"FunctionName"}),
    attributes=frozenset({"Version", "FunctionArn"}),
    properties=frozenset(
        {
            *("CodeSha256", "Description", "FunctionName", "FunctionScalingConfig"),
            *("ProvisionedConcurrencyConfig", "RuntimePolicy"),
        }
    ),
    scalars={"CodeSha256": str, "Description": str, "FunctionName": str},
)

ALIAS = ResourceFacts(
    create_only=frozenset({"Name", "FunctionName"}),
    required=frozenset({"FunctionName", "FunctionVersion", "Name"}),
    attributes=frozenset({"AliasArn"}),
    properties=frozenset(
        {
            *("Description", "FunctionName", "FunctionVersion", "Name"),
            *("ProvisionedConcurrencyConfig", "RoutingConfig"),
        }
    ),
    scalars={
        "Description": str,
        "FunctionName": str,
        "FunctionVersion": str,
        "Name": str,
        "RoutingConfig.AdditionalVersionWeights.*.FunctionVersion": str,
        "RoutingConfig.AdditionalVersionWeights.*.FunctionWeight": float,
    },
)

_PERMISSION_PROPERTIES = frozenset(
    {
        *("Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType"),
        *("InvokedViaFunctionUrl", "Principal", "PrincipalOrgID", "SourceAccount", "SourceArn"),
    }
)
PERMISSION = ResourceFacts(
    create_only=_PERMISSION_PROPERTIES,
    required=frozenset({"FunctionName", "Action", "Principal"}),
    attributes=frozenset({"Id"}),
    properties=_PERMISSION_PROPERTIES,
    scalars={
        "EventSourceToken": str,
        "FunctionName": str,
        "InvokedViaFunctionUrl": bool,
        "Principal": str,
        "SourceAccount": str,
        "SourceArn": str,
    },
)
