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
        "Layers.*": str,
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
    scalars={
        "CodeSha256": str,
        "Description": str,
        "FunctionName": str,
        "ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions": int,
    },
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
        "ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions": int,
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

EVENT_INVOKE_CONFIG = ResourceFacts(
    create_only=frozenset({"FunctionName", "Qualifier"}),
    required=frozenset({"FunctionName", "Qualifier"}),
    properties=frozenset(
        {
            *("DestinationConfig", "FunctionName", "MaximumEventAgeInSeconds"),
            *("MaximumRetryAttempts", "Qualifier"),
        }
    ),
    scalars={
        "DestinationConfig.OnFailure.Destination": str,
        "DestinationConfig.OnSuccess.Destination": str,
        "FunctionName": str,
        "MaximumEventAgeInSeconds": int,
        "MaximumRetryAttempts": int,
        "Qualifier": str,
    },
)

_LAYER_VERSION_PROPERTIES = frozenset(
    {
        *("CompatibleArchitectures", "CompatibleRuntimes", "Content", "Description"),
        *("LayerName", "LicenseInfo"),
    }
)
LAYER_VERSION = ResourceFacts(
    create_only=_LAYER_VERSION_PROPERTIES,
    required=frozenset({"Content"}),
    attributes=frozenset({"LayerVersionArn"}),
    properties=_LAYER_VERSION_PROPERTIES,
    scalars={
        "Content.S3Bucket": str,
        "Content.S3Key": str,
        "Content.S3ObjectVersion": str,
        "Description": str,
        "LayerName": str,
        "LicenseInfo": str,
    },
)

_LAYER_PERMISSION_PROPERTIES = frozenset(
    {"Action", "LayerVersionArn", "OrganizationId", "Principal"}
)
LAYER_VERSION_PERMISSION = ResourceFacts(
    create_only=_LAYER_PERMISSION_PROPERTIES,
    required=frozenset({"LayerVersionArn", "Action", "Principal"}),
    attributes=frozenset({"Id"}),
    properties=_LAYER_PERMISSION_PROPERTIES,
    scalars={"LayerVersionArn": str, "OrganizationId": str, "Principal": str},
)

CODE_SIGNING_CONFIG = ResourceFacts(
    required=frozenset({"AllowedPublishers"}),
    attributes=frozenset({"CodeSigningConfigArn", "CodeSigningConfigId"}),
    properties=frozenset({"AllowedPublishers", "CodeSigningPolicies", "Description", "Tags"}),
    scalars={"Description": str, "Tags.*.Key": str, "Tags.*.Value": str},
)

URL = ResourceFacts(
    create_only=frozenset({"Qualifier", "TargetFunctionArn"}),
    required=frozenset({"AuthType", "TargetFunctionArn"}),
    attributes=frozenset({"FunctionArn", "FunctionUrl"}),
    properties=frozenset({"AuthType", "Cors", "InvokeMode", "Qualifier", "TargetFunctionArn"}),
    scalars={
        "AuthType": str,
        "Cors.AllowCredentials": bool,
        "Cors.MaxAge": int,
        "InvokeMode": str,
        "Qualifier": str,
        "TargetFunctionArn": str,
    },
)

EVENT_SOURCE_MAPPING = ResourceFacts(
    create_only=frozenset(
        {
            *("EventSourceArn", "SelfManagedEventSource", "StartingPosition"),
            "StartingPositionTimestamp",
        }
    ),
    required=frozenset({"FunctionName"}),
    attributes=frozenset({"EventSourceMappingArn", "Id"}),
    properties=frozenset(
        {
            *("AmazonManagedKafkaEventSourceConfig", "BatchSize", "BisectBatchOnFunctionError"),
            *("DestinationConfig", "DocumentDBEventSourceConfig", "Enabled", "EventSourceArn"),
            *("FilterCriteria", "FunctionName", "FunctionResponseTypes", "KmsKeyArn"),
            *("LoggingConfig", "MaximumBatchingWindowInSeconds", "MaximumRecordAgeInSeconds"),
            *("MaximumRetryAttempts", "MetricsConfig", "ParallelizationFactor"),
            *("ProvisionedPollerConfig", "Queues", "ScalingConfig", "SelfManagedEventSource"),
            *("SelfManagedKafkaEventSourceConfig", "SourceAccessConfigurations"),
            *("StartingPosition", "StartingPositionTimestamp", "Tags", "Topics"),
            "TumblingWindowInSeconds",
        }
    ),
    scalars={
        "BatchSize": int,
        "BisectBatchOnFunctionError": bool,
        "DestinationConfig.OnFailure.Destination": str,
        "Enabled": bool,
        "EventSourceArn": str,
        "FilterCriteria.Filters.*.Pattern": str,
        "FunctionName": str,
        "MaximumBatchingWindowInSeconds": int,
        "MaximumRecordAgeInSeconds": int,
        "MaximumRetryAttempts": int,
        "ParallelizationFactor": int,
        "ProvisionedPollerConfig.MaximumPollers": int,
        "ProvisionedPollerConfig.MinimumPollers": int,
        "ScalingConfig.MaximumConcurrency": int,
        "StartingPosition": str,
        "StartingPositionTimestamp": float,
        "Tags.*.Key": str,
        "Tags.*.Value": str,
        "TumblingWindowInSeconds": int,
    },
)
