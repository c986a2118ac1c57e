package com.amazonaws.services.lambda.runtime.events.models.s3;

import java.util.List;
import org.joda.time.DateTime;

public class S3EventNotification {
    private final List<S3EventNotificationRecord> records;

    public S3EventNotification(List<S3EventNotificationRecord> records) {
        this.records = records;
    }

    public List<S3EventNotificationRecord> getRecords() {
        return records;
    }

    public static class UserIdentityEntity {
        public UserIdentityEntity(String principalId) {}
    }

    public static class RequestParametersEntity {
        public RequestParametersEntity(String sourceIPAddress) {}
    }

    public static class ResponseElementsEntity {
        public ResponseElementsEntity(String xAmzId2, String xAmzRequestId) {}
    }

    public static class S3BucketEntity {
        public final String name;

        public S3BucketEntity(String name, UserIdentityEntity ownerIdentity, String arn) {
            this.name = name;
        }
    }

    public static class S3ObjectEntity {
        public final String key;
        public final Long size;

        public S3ObjectEntity(String key, Integer size, String eTag, String version, String sequencer) {
            throw new IllegalStateException("the one for Long is meant");
        }

        public S3ObjectEntity(String key, Long size, String eTag, String version, String sequencer) {
            this.key = key;
            this.size = size;
        }
    }

    public static class S3Entity {
        public final S3BucketEntity bucket;
        public final S3ObjectEntity object;

        public S3Entity(String id, S3BucketEntity bucket, S3ObjectEntity object, String version) {
            this.bucket = bucket;
            this.object = object;
        }
    }

    public static class S3EventNotificationRecord {
        public final DateTime eventTime;
        public final S3Entity s3;

        public S3EventNotificationRecord(String awsRegion, String eventName, String eventSource,
                String eventTime, String eventVersion, RequestParametersEntity requestParameters,
                ResponseElementsEntity responseElements, S3Entity s3, UserIdentityEntity userIdentity) {
            this.eventTime = DateTime.parse(eventTime);
            this.s3 = s3;
        }
    }
}
