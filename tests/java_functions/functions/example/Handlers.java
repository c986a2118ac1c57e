package example;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Functions of the tests; each nested class is one. */
public class Handlers {
    private static int calls;

    public static class Echo implements RequestHandler<Map<String, Object>, Object> {
        @Override
        public Object handleRequest(Map<String, Object> event, Context context) {
            return event;
        }
    }

    public static class Doubled implements RequestHandler<Integer, Integer> {
        @Override
        public Integer handleRequest(Integer event, Context context) {
            return event * 2;
        }
    }

    public static class Text implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            return "<" + event + ">";
        }
    }

    public static class Binds implements RequestHandler<Order, Order> {
        @Override
        public Order handleRequest(Order order, Context context) {
            return order;
        }
    }

    public abstract static class Base<T, R> implements RequestHandler<T, List<R>> {}

    public static class Inherits extends Base<Order.Line, String> {
        @Override
        public List<String> handleRequest(Order.Line line, Context context) {
            List<String> names = new ArrayList<>();
            names.add(line.getName());
            names.add(null);
            return names;
        }
    }

    public static class Unbound<T> implements RequestHandler<T, String> {
        @Override
        public String handleRequest(T event, Context context) {
            return "";
        }
    }

    public static class Bound<T extends Order.Line> implements RequestHandler<T, String> {
        @Override
        public String handleRequest(T event, Context context) {
            return event.getName();
        }
    }

    @SuppressWarnings("rawtypes")
    public static class Raw implements RequestHandler {
        @Override
        public Object handleRequest(Object event, Context context) {
            return "";
        }
    }

    public static class Nothing implements RequestHandler<Object, Void> {
        @Override
        public Void handleRequest(Object event, Context context) {
            return null;
        }
    }

    public static class Stream implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context)
                throws IOException {
            out.write("not { json: ".getBytes("UTF-8"));
            int next;
            while ((next = in.read()) >= 0) {
                out.write(next);
            }
        }
    }

    public static class Describes implements RequestHandler<Object, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Object event, Context context) {
            Map<String, Object> seen = new LinkedHashMap<>();
            seen.put("requestId", context.getAwsRequestId());
            seen.put("group", context.getLogGroupName());
            seen.put("stream", context.getLogStreamName());
            seen.put("name", context.getFunctionName());
            seen.put("version", context.getFunctionVersion());
            seen.put("arn", context.getInvokedFunctionArn());
            seen.put("memory", context.getMemoryLimitInMB());
            int left = context.getRemainingTimeInMillis();
            seen.put("left", left > 1000 && left <= 3000);
            seen.put("identity", String.valueOf(context.getIdentity()));
            seen.put("tenant", String.valueOf(context.getTenantId()));
            seen.put("trace", System.getProperty("com.amazonaws.xray.traceHeader"));
            ClientContext client = context.getClientContext();
            if (client != null) {
                seen.put("custom", client.getCustom());
                seen.put("environment", client.getEnvironment());
                seen.put("app", client.getClient().getAppTitle());
                seen.put("installation", client.getClient().getInstallationId());
            }
            seen.put("sameLogger", context.getLogger() == LambdaRuntime.getLogger());
            return seen;
        }
    }

    public static class Logs implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            switch (event) {
                case "plain":
                    context.getLogger().log("one\ntwo");
                    context.getLogger().log("three\n");
                    break;
                case "bytes":
                    context.getLogger().log("raw".getBytes());
                    break;
                case "levels":
                    context.getLogger().log("shown", LogLevel.INFO);
                    context.getLogger().log("hidden", LogLevel.DEBUG);
                    break;
                default:
                    System.out.println("out ä");
                    System.err.println("err");
                    System.out.print("no end");
            }
            return "";
        }
    }

    public static class Fails implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            switch (event) {
                case "message":
                    throw new IllegalStateException("broken");
                case "none":
                    throw new IllegalStateException();
                case "cause":
                    throw new RuntimeException("outer", new IllegalArgumentException("inner"));
                case "exit":
                    System.exit(3);
                    return "";
                case "overflow":
                    return handleRequest(event, context);
                case "memory":
                    List<long[]> all = new ArrayList<>();
                    while (true) {
                        all.add(new long[10_000_000]);
                    }
                case "io":
                    throw new java.io.IOError(new IOException("disk"));
                default:
                    return "fine";
            }
        }
    }

    public static class Methods {
        public String echo(String event) {
            return "shorter " + event;
        }

        public String echo(String event, Context context) {
            return "longer " + event;
        }

        public static int fixed() {
            return 7;
        }

        public String asked(Context context) {
            return context.getFunctionName();
        }

        public void streams(InputStream in, OutputStream out) throws IOException {
            out.write(in.read());
        }

        public void nothing(Map<String, Object> event) {}

        public String wrong(String one, String two) {
            return one;
        }

        public String fails() {
            throw new IllegalStateException("by method");
        }
    }

    public static class Counts {
        public int handle() {
            return ++calls;
        }
    }

    public static class Surrounded {
        public Map<String, Object> handle() {
            Map<String, Object> seen = new LinkedHashMap<>();
            seen.put("variables", System.getenv("MINE"));
            seen.put("loader", Thread.currentThread().getContextClassLoader()
                    == Handlers.class.getClassLoader());
            seen.put("resource", Handlers.class.getResource("/example/note.txt") != null);
            seen.put("layer", classIs("layered.Thing"));
            seen.put("heap", Runtime.getRuntime().maxMemory() >> 20);
            seen.put("nothing", null);
            return seen;
        }

        private static boolean classIs(String name) {
            try {
                Class.forName(name);
                return true;
            } catch (ClassNotFoundException absent) {
                return false;
            }
        }
    }

    public static class ThrowsInConstructor {
        public ThrowsInConstructor() {
            throw new IllegalStateException("cannot be made");
        }

        public void handle() {}
    }

    public static class ThrowsInStatic {
        static {
            if (true) {
                throw new IllegalStateException("cannot be loaded");
            }
        }

        public void handle() {}
    }

    public static class NeedsArgument {
        public NeedsArgument(int size) {}

        public void handle() {}
    }

    public class Inner {
        public void handle() {}
    }

    public static class Loops {
        public Map<String, Object> handle() {
            Map<String, Object> loop = new LinkedHashMap<>();
            loop.put("self", loop);
            return loop;
        }
    }
}
