package lamington.runtime;

import java.io.IOError;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TimeZone;
import lamington.runtime.crac.Core;

/**
 * The Java runtime of one execution environment: loads the handler and serves invocations.
 *
 * <p>It is written for Java 8 and knows the JDK only. AWS's interfaces come from the function's own
 * archive, so they are met by reflection and answered by proxies. No lambdas, no streams, no
 * formatting here: each of them costs milliseconds of a cold start.
 *
 * <p>Arguments: how many seconds to wait actively for the next frame where the engine says that it is
 * likely; and the root of the layers. In its place {@code --spare} waits for a CONFIGURE frame before it loads anything and before it says that
 * it is ready. Its header is that of an invocation, without texts; its payload is JSON: {@code
 * {"variables": {...}, "task_root": "...", "layers_root": "..."}}. A spare needs {@code --add-opens
 * java.base/java.util=ALL-UNNAMED}.
 */
public final class Bootstrap {
    private static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";

    private Bootstrap() {}

    public static void main(String[] arguments) throws Exception {
        Channel channel = new Channel(3, Double.parseDouble(arguments[0]));
        Output output = new Output();
        output.install();
        String layers = arguments[1].equals("--spare") ? configure(channel) : arguments[1];
        Logs logs = new Logs(output, System.getenv());
        Functions functions = new Functions(System.getenv("LAMBDA_TASK_ROOT"), layers, logs);
        Thread.currentThread().setContextClassLoader(functions.loader);
        System.setProperty("org.crac.Core.Compat", "lamington.runtime.crac");
        Functions.Entry entry = load(functions, logs, channel, output);
        if ("snap-start".equals(System.getenv("AWS_LAMBDA_INITIALIZATION_TYPE"))) {
            beforeSnapshot(logs, channel, output);
        }
        output.flushAll();
        channel.send(Channel.READY);
        serve(channel, entry, logs, output);
    }

    /** Load the handler; a failure that counts as one of init ends the process. */
    private static Functions.Entry load(
            Functions functions, Logs logs, Channel channel, Output output) throws IOException {
        try {
            return functions.load(System.getenv("_HANDLER"));
        } catch (Fault fault) {
            logs.error(fault.report());
            output.flushAll();
            fault.render(channel.reply);
            channel.send(Channel.INIT_ERROR);
            System.exit(1);
            throw fault;
        }
    }

    /**
     * Run the hooks before the snapshot of SnapStart, and wait for the restore.
     *
     * <p>AWS: these run once for a version. Differs: a JVM cannot be copied: they run in each
     * environment, at the end of its init, which is made ahead of need.
     */
    private static void beforeSnapshot(Logs logs, Channel channel, Output output) throws IOException {
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
        } catch (Exception error) {
            fail(error, logs, channel, output);
        }
        output.flushAll();
        channel.send(Channel.READY);
        channel.receive();
        if (channel.kind != Channel.RESTORE) {
            throw new IOException("a snapshot is restored before it serves");
        }
        try {
            Core.getGlobalContext().afterRestore(null);
        } catch (Exception error) {
            fail(error, logs, channel, output);
        }
    }

    /** Report what hooks have thrown, and end. */
    private static void fail(Exception error, Logs logs, Channel channel, Output output)
            throws IOException {
        logs.error(Fault.of(error, true).report());
        output.flushAll();
        Fault.render(error, channel.reply);
        channel.send(Channel.INIT_ERROR);
        System.exit(64);
    }

    private static void serve(Channel channel, Functions.Entry entry, Logs logs, Output output)
            throws IOException {
        String traceId = "";
        while (true) {
            channel.receive();
            if (!channel.traceId.equals(traceId)) {
                traceId = channel.traceId;
                if (traceId.isEmpty()) {
                    System.clearProperty(TRACE_PROPERTY);
                } else {
                    System.setProperty(TRACE_PROPERTY, traceId);
                }
            }
            int kind = Channel.RESULT;
            try {
                entry.call(channel, channel.reply);
                Thread.interrupted();
            } catch (Fault fault) {
                kind = fault.fatal ? Channel.FATAL : Channel.ERROR;
                channel.reply.clear();
                fault.render(channel.reply);
                logs.error(fault.report());
            } catch (Throwable error) {
                boolean fatal = error instanceof VirtualMachineError || error instanceof IOError;
                kind = fatal ? Channel.FATAL : Channel.ERROR;
                channel.reply.clear();
                Fault fault = Fault.of(error, fatal);
                Fault.render(error, channel.reply);
                logs.error(fault.report());
            }
            output.flushAll();
            channel.send(kind);
            if (kind == Channel.FATAL) {
                Runtime.getRuntime().halt(1);
            }
        }
    }

    // A process that was started ahead of need

    /** Wait for what this environment is to be; gives the root of the layers. */
    @SuppressWarnings("unchecked")
    private static String configure(Channel channel) throws Exception {
        // What every function needs is loaded while nobody waits for it.
        Logs logs = new Logs(new Output(), System.getenv());
        Rehearsal.warmUp(new Functions("/nowhere", "/nowhere", logs).loader);
        channel.receive();
        if (channel.kind != Channel.CONFIGURE) {
            throw new IOException("a spare is configured before anything else");
        }
        Map<String, Object> given = (Map<String, Object>) channel.parseBody(false);
        Map<String, String> variables = (Map<String, String>) given.get("variables");
        String taskRoot = (String) given.get("task_root");
        variables.put("LAMBDA_TASK_ROOT", taskRoot);
        System.setProperty("user.dir", taskRoot);
        replaceVariables(variables);
        String zone = variables.get("TZ");
        if (zone != null) {
            TimeZone.setDefault(TimeZone.getTimeZone(zone.startsWith(":") ? zone.substring(1) : zone));
        }
        return (String) given.get("layers_root");
    }

    /** Java reads its variables once; a spare's are set in the map it keeps of them. */
    @SuppressWarnings("unchecked")
    private static void replaceVariables(Map<String, String> variables) throws Exception {
        Field inner = Class.forName("java.util.Collections$UnmodifiableMap").getDeclaredField("m");
        inner.setAccessible(true);
        Map<String, String> current = (Map<String, String>) inner.get(System.getenv());
        current.clear();
        current.putAll(variables);
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
