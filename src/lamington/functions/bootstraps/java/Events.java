package lamington.runtime;

import java.lang.reflect.Constructor;
import java.lang.reflect.Method;

/**
 * What AWS's runtime knows of the classes of `aws-lambda-java-events`: names in JSON that differ from
 * the properties, times in seconds, and S3's classes, which have constructors only.
 *
 * <p>AWS: the mix-ins of `aws-lambda-java-serialization`; they count for an event that is the handler's
 * own input or output type, not for one inside another class.
 */
final class Events {
    private static final String PACKAGE = "com.amazonaws.services.lambda.runtime.events.";
    private static final String KNOWN =
            " APIGatewayProxyRequestEvent APIGatewayProxyResponseEvent CloudFormationCustomResourceEvent"
                    + " CloudFrontEvent CloudWatchLogsEvent CodeCommitEvent CognitoEvent ConfigEvent"
                    + " ConnectEvent DynamodbEvent DynamodbTimeWindowEvent IoTButtonEvent KinesisEvent"
                    + " KinesisTimeWindowEvent KinesisFirehoseEvent LambdaDestinationEvent LexEvent"
                    + " ScheduledEvent SecretsManagerRotationEvent models.s3.S3EventNotification S3Event"
                    + " SNSEvent SQSEvent ";
    private static final String WITH_RECORDS =
            " CloudFrontEvent CodeCommitEvent DynamodbEvent DynamodbTimeWindowEvent KinesisEvent"
                    + " KinesisTimeWindowEvent SNSEvent SQSEvent ";
    private static final String WITH_SOURCE =
            " DynamodbEvent$DynamodbStreamRecord DynamodbTimeWindowEvent KinesisTimeWindowEvent"
                    + " SQSEvent$SQSMessage CodeCommitEvent$Record ";
    private static final String CAPITALISED =
            " StreamRecord CloudFormationCustomResourceEvent ConnectEvent ConnectEvent$Details"
                    + " ConnectEvent$ContactData ConnectEvent$CustomerEndpoint"
                    + " ConnectEvent$SystemEndpoint SecretsManagerRotationEvent SNSEvent$SNSRecord"
                    + " SNSEvent$SNS SNSEvent$MessageAttribute ";

    private Events() {}

    static boolean isKnown(String className) {
        if (className.equals("com.amazonaws.services.s3.event.S3EventNotification")) {
            return true;
        }
        return className.startsWith(PACKAGE)
                && KNOWN.contains(" " + className.substring(PACKAGE.length()) + " ");
    }

    /** The name in JSON of a property of a class. */
    static String rename(Class<?> owner, String name) {
        String full = owner.getName();
        String simple = full.substring(full.lastIndexOf('.') + 1);
        String key = " " + simple + " ";
        if (name.equals("records") && WITH_RECORDS.contains(key)) {
            return "Records";
        }
        if (name.equals("eventSourceArn") && WITH_SOURCE.contains(key)) {
            return "eventSourceARN";
        }
        if (simple.equals("AttributeValue") && name.length() == 1) {
            return name.toUpperCase(java.util.Locale.ROOT);
        }
        if (simple.equals("SNSEvent$SNSRecord") && name.equals("SNS")) {
            return "Sns";
        }
        if (CAPITALISED.contains(key)) {
            return capitalised(simple, name);
        }
        return single(simple, name);
    }

    private static String capitalised(String simple, String name) {
        if (name.equals("responseUrl") && simple.startsWith("CloudFormation")) {
            return "ResponseURL";
        }
        if (name.equals("instanceArn")) {
            return "InstanceARN";
        }
        return Character.toUpperCase(name.charAt(0)) + name.substring(1);
    }

    private static String single(String simple, String name) {
        if (simple.equals("CloudWatchLogsEvent") && name.equals("awsLogs")) {
            return "awslogs";
        }
        if (simple.equals("CodeCommitEvent$Record") && name.equals("codeCommit")) {
            return "codecommit";
        }
        if (simple.equals("CodeCommitEvent$Record") && name.equals("userIdentityArn")) {
            return "userIdentityARN";
        }
        if (simple.equals("ScheduledEvent") && name.equals("detailType")) {
            return "detail-type";
        }
        if (simple.endsWith("ResponseElementsEntity")) {
            return name.equals("xAmzId2") ? "x-amz-id-2"
                    : name.equals("xAmzRequestId") ? "x-amz-request-id" : name;
        }
        return name;
    }

    /** The members that the constructor of one of S3's classes takes, in its order; else null. */
    static String[] constructorNames(Class<?> type) {
        String full = type.getName();
        if (full.equals(PACKAGE + "S3Event") || full.endsWith(".S3EventNotification")) {
            return new String[] {"Records"};
        }
        int at = full.indexOf(".S3EventNotification$");
        if (at < 0) {
            return null;
        }
        String simple = full.substring(full.indexOf('$') + 1);
        if (simple.equals("S3EventNotificationRecord")) {
            return new String[] {
                "awsRegion", "eventName", "eventSource", "eventTime", "eventVersion",
                "requestParameters", "responseElements", "s3", "userIdentity"
            };
        }
        if (simple.equals("S3Entity")) {
            return new String[] {"configurationId", "bucket", "object", "s3SchemaVersion"};
        }
        if (simple.equals("S3BucketEntity")) {
            return new String[] {"name", "ownerIdentity", "arn"};
        }
        if (simple.equals("S3ObjectEntity")) {
            return new String[] {"key", "size", "eTag", "versionId", "sequencer"};
        }
        if (simple.equals("UserIdentityEntity")) {
            return new String[] {"principalId"};
        }
        if (simple.equals("RequestParametersEntity")) {
            return new String[] {"sourceIPAddress"};
        }
        if (simple.equals("ResponseElementsEntity")) {
            return new String[] {"x-amz-id-2", "x-amz-request-id"};
        }
        return null;
    }

    /** The constructor for so many members; of two, the one whose size is a Long. */
    static Constructor<?> constructor(Class<?> type, int count) {
        Constructor<?> found = null;
        for (Constructor<?> each : type.getDeclaredConstructors()) {
            Class<?>[] types = each.getParameterTypes();
            if (types.length == count && (found == null || (count == 5 && types[1] == Long.class))) {
                found = each;
            }
        }
        if (found != null) {
            Shape.open(found);
        }
        return found;
    }

    /** Joda's time of a text; its class comes from the function's archive. */
    static Object jodaTime(Class<?> type, String text) throws ReflectiveOperationException {
        Method parse = type.getMethod("parse", String.class);
        return parse.invoke(null, text);
    }
}
