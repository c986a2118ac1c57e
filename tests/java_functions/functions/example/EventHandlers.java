package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.S3Event;
import com.amazonaws.services.lambda.runtime.events.SNSEvent;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;

/** Functions that take classes of `aws-lambda-java-events`. */
public class EventHandlers {
    public static class Queue implements RequestHandler<SQSEvent, String> {
        @Override
        public String handleRequest(SQSEvent event, Context context) {
            SQSEvent.SQSMessage message = event.getRecords().get(0);
            return message.getBody() + " " + message.getEventSourceArn();
        }
    }

    public static class Bucket implements RequestHandler<S3Event, String> {
        @Override
        public String handleRequest(S3Event event, Context context) {
            return event.getRecords().get(0).s3.bucket.name + " "
                    + event.getRecords().get(0).s3.object.key + " "
                    + event.getRecords().get(0).s3.object.size + " "
                    + event.getRecords().get(0).eventTime;
        }
    }

    public static class Topic implements RequestHandler<SNSEvent, String> {
        @Override
        public String handleRequest(SNSEvent event, Context context) {
            return event.getRecords().get(0).getSNS().getMessage() + " "
                    + event.getRecords().get(0).getEventSource();
        }
    }
}
