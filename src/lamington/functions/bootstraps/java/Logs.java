package lamington.runtime;

import java.io.IOException;
import java.util.Map;

/**
 * What {@code LambdaLogger} writes, as text or JSON, and the log of errors.
 *
 * <p>AWS: a call of the logger is one event of the log, and nothing is appended to it; the runtime of
 * {@code java8} writes to the standard output, where the next call goes on in the same line.
 */
final class Logs {
    private static final String[] LEVELS = {
        "UNDEFINED", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"
    };

    /** The invocation that runs, "" before the first one. */
    String requestId = "";

    private final Output output;
    private final boolean json;
    private final boolean records;
    private final int least;

    Logs(Output output, Map<String, String> variables) {
        this.output = output;
        json = "JSON".equalsIgnoreCase(variables.get("AWS_LAMBDA_LOG_FORMAT"));
        records = !"AWS_Lambda_java8".equals(variables.get("AWS_EXECUTION_ENV"));
        String level = variables.get("AWS_LAMBDA_LOG_LEVEL");
        least = level == null ? 0 : Math.max(rank(level), 0);
    }

    /** Log an error that ends an invocation or the environment. */
    void error(String report) throws IOException {
        if (json) {
            output.record(render(report, "ERROR"));
        } else {
            output.record(Bootstrap.utf8(report));
        }
    }

    /** What a call of the function's logger does; the level is "UNDEFINED" where none is given. */
    void log(Object message, String level) throws IOException {
        int rank = rank(level);
        if (rank > 0 && rank < least) {
            return;
        }
        byte[] text;
        if (message instanceof byte[]) {
            text = (byte[]) message;
        } else if (json) {
            text = render(String.valueOf(message), level);
        } else if (rank > 0) {
            text = Bootstrap.utf8("[" + level + "] " + message);
        } else {
            text = Bootstrap.utf8(String.valueOf(message));
        }
        if (records || json) {
            output.record(text);
        } else {
            output.raw(text);
        }
    }

    private static int rank(String level) {
        for (int i = 0; i < LEVELS.length; i++) {
            if (LEVELS[i].equalsIgnoreCase(level)) {
                return i;
            }
        }
        return -1;
    }

    private byte[] render(String message, String level) {
        Buffer buffer = new Buffer();
        buffer.ascii("{\"timestamp\":\"");
        buffer.ascii(timestamp(System.currentTimeMillis()));
        buffer.ascii("\",\"message\":");
        Json.writeString(message, buffer);
        buffer.ascii(",\"level\":\"");
        buffer.ascii(level);
        buffer.ascii("\"");
        if (!requestId.isEmpty()) {
            buffer.ascii(",\"AWSRequestId\":");
            Json.writeString(requestId, buffer);
        }
        buffer.ascii("}\n");
        return java.util.Arrays.copyOfRange(buffer.bytes, Buffer.HEADER_BYTES, buffer.size);
    }

    /** A time as 2026-01-02T03:04:05.678Z, without the JDK's formatters: they are slow to load. */
    private static String timestamp(long ms) {
        long days = Math.floorDiv(ms, 86_400_000L);
        int time = (int) Math.floorMod(ms, 86_400_000L);
        // Days since 0000-03-01 in eras of 400 years (Howard Hinnant's civil_from_days).
        long z = days + 719_468;
        long era = Math.floorDiv(z, 146_097L);
        int doe = (int) (z - era * 146_097);
        int yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        int mp = (5 * doy + 2) / 153;
        int month = mp < 10 ? mp + 3 : mp - 9;
        long year = yoe + era * 400 + (month <= 2 ? 1 : 0);
        StringBuilder text = new StringBuilder(24);
        pad(text, (int) year, 4).append('-');
        pad(text, month, 2).append('-');
        pad(text, doy - (153 * mp + 2) / 5 + 1, 2).append('T');
        pad(text, time / 3_600_000, 2).append(':');
        pad(text, time / 60_000 % 60, 2).append(':');
        pad(text, time / 1000 % 60, 2).append('.');
        return pad(text, time % 1000, 3).append('Z').toString();
    }

    private static StringBuilder pad(StringBuilder text, int value, int width) {
        String digits = Integer.toString(value);
        for (int i = digits.length(); i < width; i++) {
            text.append('0');
        }
        return text.append(digits);
    }
}
