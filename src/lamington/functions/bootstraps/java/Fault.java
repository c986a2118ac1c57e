package lamington.runtime;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.HashSet;
import java.util.Set;

/**
 * A failure as its caller and the log see it, in AWS's words.
 *
 * <p>AWS: faults of loading have no stack trace in the payload; an exception without a message has its
 * class name for one.
 */
final class Fault extends RuntimeException {
    private static final long serialVersionUID = 1;
    private static final String OWN_PACKAGE = "lamington.runtime.";

    /** Whether handlers are called through their interface: then AWS's traces show no reflection. */
    static boolean hidesReflection;

    final String text;
    final String type;
    final String trace;
    final boolean fatal;

    Fault(String text, String type, String trace, boolean fatal) {
        super(text, null, false, false);
        this.text = text;
        this.type = type;
        this.trace = trace;
        this.fatal = fatal;
    }

    static Fault of(String text) {
        return new Fault(text, null, null, false);
    }

    static Fault of(Throwable error, boolean fatal) {
        return new Fault(messageOf(error), error.getClass().getName(), traceOf(error), fatal);
    }

    static String messageOf(Throwable error) {
        String message = error.getLocalizedMessage();
        return message == null ? error.getClass().getName() : message;
    }

    /** What stands in the log. */
    String report() {
        if (type == null && trace == null) {
            return text + "\n";
        }
        return text + ": " + (type == null ? "" : type) + "\n" + (trace == null ? "" : trace) + "\n";
    }

    /** The payload of a fault that is no exception of the handler. */
    void render(Buffer buffer) {
        buffer.ascii("{\"errorMessage\":");
        Json.writeString(text, buffer);
        if (type != null) {
            buffer.ascii(",\"errorType\":");
            Json.writeString(type, buffer);
        }
        buffer.write('}');
    }

    /** The payload of an exception; {@link #traceOf} has cleaned its stack before. */
    static void render(Throwable error, Buffer buffer) {
        render(error, buffer, "AWS_Lambda_java8".equals(System.getenv("AWS_EXECUTION_ENV")) ? 16 : 0);
    }

    private static void render(Throwable error, Buffer buffer, int causes) {
        buffer.ascii("{\"errorMessage\":");
        Json.writeString(messageOf(error), buffer);
        buffer.ascii(",\"errorType\":");
        Json.writeString(error.getClass().getName(), buffer);
        buffer.ascii(",\"stackTrace\":[");
        StackTraceElement[] trace = error.getStackTrace();
        for (int i = 0; i < trace.length; i++) {
            if (i > 0) {
                buffer.write(',');
            }
            Json.writeString(trace[i].toString(), buffer);
        }
        buffer.write(']');
        if (causes > 0 && error.getCause() != null) {
            buffer.ascii(",\"cause\":");
            render(error.getCause(), buffer, causes - 1);
        }
        buffer.write('}');
    }

    static String traceOf(Throwable error) {
        clean(error, new HashSet<Throwable>());
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        return text.toString();
    }

    /** Cut off the runtime's own frames, in causes and suppressed exceptions as well. */
    private static void clean(Throwable error, Set<Throwable> seen) {
        if (!seen.add(error)) {
            return;
        }
        StackTraceElement[] trace = error.getStackTrace();
        for (int i = 0; i < trace.length; i++) {
            if (trace[i].getClassName().startsWith(OWN_PACKAGE)) {
                int size = i;
                while (hidesReflection && size > 0 && isReflection(trace[size - 1].getClassName())) {
                    size--;
                }
                StackTraceElement[] kept = new StackTraceElement[size];
                System.arraycopy(trace, 0, kept, 0, size);
                error.setStackTrace(kept);
                break;
            }
        }
        if (error.getCause() != null) {
            clean(error.getCause(), seen);
        }
        for (Throwable suppressed : error.getSuppressed()) {
            clean(suppressed, seen);
        }
    }

    private static boolean isReflection(String name) {
        return name.startsWith("jdk.internal.reflect.")
                || name.startsWith("sun.reflect.")
                || name.startsWith("java.lang.invoke.")
                || name.equals("java.lang.reflect.Method");
    }
}
