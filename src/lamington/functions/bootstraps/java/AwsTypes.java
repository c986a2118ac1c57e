package lamington.runtime;

import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.lang.reflect.Type;
import java.util.Iterator;
import java.util.Map;
import java.util.ServiceLoader;

/**
 * The interfaces of `aws-lambda-java-core`, which the function's archive brings, and our answers to
 * them: context, logger, client context. Without the archive's classes all of them are null.
 */
final class AwsTypes {
    private static final String PACKAGE = "com.amazonaws.services.lambda.runtime.";

    Class<?> context;
    Class<?> handler;
    Class<?> streamHandler;

    private final ClassLoader loader;
    private final Logs logs;
    private final Map<String, String> variables = System.getenv();
    private final int memoryMb;
    private Object logger;
    private Method log4jPut;
    private boolean searchedLog4j;

    AwsTypes(ClassLoader loader, Logs logs) {
        this.loader = loader;
        this.logs = logs;
        String memory = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
        memoryMb = memory == null ? 0 : Integer.parseInt(memory);
    }

    /** Look for the interfaces, and give `LambdaRuntime` our logger before any code runs. */
    void prepare() {
        context = find("Context");
        if (context == null) {
            return;
        }
        handler = find("RequestHandler");
        streamHandler = find("RequestStreamHandler");
        Class<?> loggerType = find("LambdaLogger");
        Class<?> runtime = find("LambdaRuntime");
        if (loggerType == null) {
            return;
        }
        logger = proxy(loggerType, new LoggerAnswers());
        if (runtime == null) {
            return;
        }
        try {
            Field field = runtime.getDeclaredField("logger");
            field.setAccessible(true);
            field.set(null, logger);
        } catch (ReflectiveOperationException other) {
            // A class of that name which is not AWS's: its own logger it is.
        }
    }

    private Class<?> find(String name) {
        try {
            return Class.forName(PACKAGE + name, false, loader);
        } catch (ClassNotFoundException absent) {
            return null;
        } catch (LinkageError broken) {
            return null;
        }
    }

    private Object proxy(Class<?> type, InvocationHandler answers) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, answers);
    }

    /** Take note of an invocation; gives its context where one is wanted. */
    Object begin(Channel event, boolean wantsContext) throws Exception {
        logs.requestId = event.requestId;
        if (!searchedLog4j) {
            searchedLog4j = true;
            findLog4j();
        }
        if (log4jPut != null) {
            log4jPut.invoke(null, "AWSRequestId", event.requestId);
        }
        return wantsContext && context != null ? proxy(context, new ContextAnswers(event)) : null;
    }

    /** AWS: the request id stands in the log of Log4j where AWS's appender is in use. */
    private void findLog4j() {
        Class<?> internal = find("LambdaRuntimeInternal");
        try {
            if (internal == null
                    || !Boolean.TRUE.equals(internal.getMethod("getUseLog4jAppender").invoke(null))) {
                return;
            }
            Class<?> map = Class.forName("org.apache.logging.log4j.ThreadContext", true, loader);
            log4jPut = map.getMethod("put", String.class, String.class);
        } catch (ReflectiveOperationException absent) {
            System.err.println("Customer using log4j appender but unable to load either"
                    + " org.apache.log4j.MDC or org.apache.logging.log4j.ThreadContext. Customer cannot"
                    + " see RequestId in log4j log lines.");
        }
    }

    // JSON by the function's own rules

    /** The serializer that an archive may bring for all of its events. */
    final class CustomJson {
        private final Object serializer;
        private final Method read;
        private final Method write;

        CustomJson(Class<?> type, Object serializer) throws NoSuchMethodException {
            this.serializer = serializer;
            read = type.getMethod("fromJson", InputStream.class, Type.class);
            write = type.getMethod("toJson", Object.class, OutputStream.class, Type.class);
        }

        Object read(InputStream json, Type type) throws Throwable {
            return call(read, json, type);
        }

        void write(Object value, OutputStream out, Type type) throws Throwable {
            call(write, value, out, type);
        }

        private Object call(Method method, Object... arguments) throws Throwable {
            try {
                return method.invoke(serializer, arguments);
            } catch (java.lang.reflect.InvocationTargetException error) {
                throw error.getCause();
            }
        }
    }

    CustomJson customJson() throws Exception {
        Class<?> type = find("CustomPojoSerializer");
        if (type == null) {
            return null;
        }
        Iterator<?> found = ServiceLoader.load(type, loader).iterator();
        if (!found.hasNext()) {
            return null;
        }
        Object serializer = found.next();
        if (found.hasNext()) {
            throw Fault.of("Too many serializers provided inside the META-INF/services folder, only"
                    + " one is allowed");
        }
        return new CustomJson(type, serializer);
    }

    // Answers

    /** Answers what every object is asked, and nothing, zero or false to what we do not know. */
    private abstract static class Answers implements InvocationHandler {
        private final String name;

        Answers(String name) {
            this.name = name;
        }

        @Override
        public final Object invoke(Object proxy, Method method, Object[] arguments) throws Throwable {
            String asked = method.getName();
            if (method.getDeclaringClass() == Object.class) {
                if (asked.equals("equals")) {
                    return proxy == arguments[0];
                }
                int hash = System.identityHashCode(proxy);
                return asked.equals("hashCode") ? (Object) hash : name + "@" + Integer.toHexString(hash);
            }
            Object answer = answer(asked, arguments);
            Class<?> type = method.getReturnType();
            return answer == null && type.isPrimitive() && type != void.class
                    ? Scalars.zero(type) : answer;
        }

        abstract Object answer(String asked, Object[] arguments) throws Throwable;
    }

    private final class LoggerAnswers extends Answers {
        LoggerAnswers() {
            super(PACKAGE + "api.client.logging.LambdaContextLogger");
        }

        @Override
        Object answer(String asked, Object[] arguments) throws Throwable {
            if (asked.equals("log")) {
                String level = arguments.length > 1 && arguments[1] != null
                        ? arguments[1].toString() : "UNDEFINED";
                logs.log(arguments[0], level);
            }
            return null;
        }
    }

    private final class ContextAnswers extends Answers {
        private final String requestId;
        private final String functionArn;
        private final String traceId;
        private final String clientContextText;
        private final long deadlineMs;
        private Object clientContext;

        ContextAnswers(Channel event) {
            super(PACKAGE + "api.client.api.LambdaContext");
            requestId = event.requestId;
            functionArn = event.functionArn;
            traceId = event.traceId;
            clientContextText = event.clientContext;
            deadlineMs = (long) event.deadlineMs;
        }

        @Override
        Object answer(String asked, Object[] arguments) throws Throwable {
            switch (asked) {
                case "getAwsRequestId":
                    return requestId;
                case "getLogGroupName":
                    return variables.get("AWS_LAMBDA_LOG_GROUP_NAME");
                case "getLogStreamName":
                    return variables.get("AWS_LAMBDA_LOG_STREAM_NAME");
                case "getFunctionName":
                    return variables.get("AWS_LAMBDA_FUNCTION_NAME");
                case "getFunctionVersion":
                    return variables.get("AWS_LAMBDA_FUNCTION_VERSION");
                case "getInvokedFunctionArn":
                    return functionArn;
                case "getRemainingTimeInMillis":
                    return (int) Math.max(deadlineMs - System.currentTimeMillis(), 0);
                case "getMemoryLimitInMB":
                    return memoryMb;
                case "getLogger":
                    return logger;
                case "getClientContext":
                    return clientContext();
                case "getXrayTraceId":
                    return traceId.isEmpty() ? null : traceId;
                default:
                    // Identity and tenant: nobody has one here.
                    return null;
            }
        }

        @SuppressWarnings("unchecked")
        private Object clientContext() throws Exception {
            if (clientContext == null && !clientContextText.isEmpty()) {
                byte[] text = Bootstrap.utf8(clientContextText);
                Object json = Json.parse(text, 0, text.length, false);
                if (json instanceof Map) {
                    Class<?> type = find("ClientContext");
                    clientContext = proxy(type, new ClientAnswers((Map<String, Object>) json));
                }
            }
            return clientContext;
        }
    }

    private final class ClientAnswers extends Answers {
        private final Map<String, Object> json;

        ClientAnswers(Map<String, Object> json) {
            super(PACKAGE + "api.client.api.LambdaClientContext");
            this.json = json;
        }

        @Override
        @SuppressWarnings("unchecked")
        Object answer(String asked, Object[] arguments) {
            switch (asked) {
                case "getClient":
                    Object client = json.get("client");
                    Class<?> type = find("Client");
                    return client instanceof Map
                            ? proxy(type, new ClientAnswers((Map<String, Object>) client)) : null;
                case "getCustom":
                    return texts(json.get("custom"));
                case "getEnvironment":
                    return texts(json.get("env"));
                default:
                    return json.get(snakeCase(asked.substring(3)));
            }
        }

        @SuppressWarnings("unchecked")
        private Object texts(Object value) {
            if (value instanceof Map) {
                for (Map.Entry<?, Object> entry : ((Map<?, Object>) value).entrySet()) {
                    Object each = entry.getValue();
                    if (each != null && !(each instanceof String)) {
                        entry.setValue(each.toString());
                    }
                }
            }
            return value;
        }

        /** `InstallationId` as `installation_id`. */
        private String snakeCase(String name) {
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < name.length(); i++) {
                char next = name.charAt(i);
                if (Character.isUpperCase(next) && i > 0) {
                    text.append('_');
                }
                text.append(Character.toLowerCase(next));
            }
            return text.toString();
        }
    }
}
