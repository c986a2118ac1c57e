package lamington.runtime;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The bootstrap's end of the engine's socket: one frame in, one frame out, buffers used again.
 *
 * <p>A frame in is a length (u32), a kind (u8), four sizes (u16) of request id, ARN, trace id and
 * client context, a deadline (f64, ms since 1970), these texts, and the event. A frame out is a
 * length, a kind, the highest resident memory in KiB, the CPU of an invocation in µs (u32 each), and
 * the payload. All little endian.
 */
final class Channel {
    static final int READY = 1, INIT_ERROR = 2, RESULT = 3, ERROR = 4, FATAL = 5;
    static final int INVOKE_ATTENTIVELY = 2, CONFIGURE = 3, RESTORE = 5;

    private static final int HEADER_BYTES = 21;
    private static final int SMALL_BYTES = 8192; // the JDK reads and writes so much without malloc
    private static final int BUFFER_BYTES = 65536;

    /** What the frame that was received last holds. */
    int kind;
    String requestId = "";
    String functionArn = "";
    String traceId = "";
    String clientContext = "";
    double deadlineMs;
    byte[] data = new byte[BUFFER_BYTES];
    int bodyFrom;
    int bodyTo;

    final Buffer reply = new Buffer();

    private final FileInputStream in;
    private final FileOutputStream out;
    private final long attendNs;
    private final boolean exits = System.getProperty("lamington.rehearsal") != null;
    private int filled;
    private int consumed;
    private boolean attentive;
    private int sent;
    private int memoryKb;
    private int cpuUs;
    private int sampledAt;
    private long sampledNs;

    Channel(int number, double attendS) throws Exception {
        FileDescriptor descriptor = new FileDescriptor();
        Field field = FileDescriptor.class.getDeclaredField("fd");
        field.setAccessible(true);
        field.setInt(descriptor, number);
        in = new FileInputStream(descriptor);
        out = new FileOutputStream(descriptor);
        attendNs = (long) (attendS * 1e9);
    }

    /** Take the next frame; what it holds is good until the frame after it. */
    void receive() throws IOException {
        if (data.length > 16 * BUFFER_BYTES) {
            data = Arrays.copyOfRange(data, consumed, consumed + BUFFER_BYTES);
            filled -= consumed;
        } else if (filled > consumed) {
            System.arraycopy(data, consumed, data, 0, filled - consumed);
            filled -= consumed;
        } else {
            filled = 0;
        }
        consumed = 0;
        if (attentive && filled == 0) {
            attend();
        }
        fill(HEADER_BYTES);
        int end = u32(0) + 4;
        if (end > data.length) {
            data = Arrays.copyOf(data, end);
        }
        fill(end);
        consumed = end;
        kind = data[4];
        attentive = kind == INVOKE_ATTENTIVELY && attendNs > 0;
        deadlineMs = Double.longBitsToDouble((u32(13) & 0xffffffffL) | ((long) u32(17) << 32));
        int at = HEADER_BYTES;
        requestId = text(at, at += u16(5), requestId);
        functionArn = text(at, at += u16(7), functionArn);
        traceId = text(at, at += u16(9), traceId);
        clientContext = text(at, at += u16(11), clientContext);
        bodyFrom = at;
        bodyTo = end;
    }

    Object parseBody(boolean exact) throws IOException {
        return Json.parse(data, bodyFrom, bodyTo, exact);
    }

    /** Send the reply that is in the buffer; it is empty afterwards. */
    void send(int kind) throws IOException {
        if (sent < 4 || (sent & 63) == 0) {
            sample();
        }
        sent++;
        reply.header(kind, memoryKb, cpuUs);
        out.write(reply.bytes, 0, reply.size);
        reply.clear();
    }

    private void fill(int wanted) throws IOException {
        while (filled < wanted) {
            int room = data.length - filled;
            // Most frames are small; a large one is read in large pieces.
            int size = Math.min(room, wanted - filled > SMALL_BYTES ? BUFFER_BYTES : SMALL_BYTES);
            int got;
            try {
                got = in.read(data, filled, size);
            } catch (IOException closed) {
                got = -1;
            }
            if (got <= 0) {
                // The engine has gone, or has no more use for this process.
                if (exits) {
                    System.exit(0);
                }
                Runtime.getRuntime().halt(0);
            }
            filled += got;
        }
    }

    /** Wait actively for a moment: a process that sleeps wakes late, and slow. */
    private void attend() throws IOException {
        long until = System.nanoTime() + attendNs;
        while (in.available() == 0 && System.nanoTime() < until) {
            // The processor is kept awake on purpose.
        }
    }

    /** Measure now and then: it costs more than an invocation may. */
    private void sample() {
        byte[] status = readSmall("/proc/self/status");
        int at = indexOf(status, "VmHWM:");
        if (at >= 0) {
            memoryKb = (int) number(status, at + 6);
        }
        // The thread that runs the handler: what compiles and collects beside it is not counted.
        long cpuNs = number(readSmall("/proc/thread-self/schedstat"), 0);
        if (sent > sampledAt) {
            cpuUs = (int) ((cpuNs - sampledNs) / 1000 / (sent - sampledAt));
        }
        sampledAt = sent;
        sampledNs = cpuNs;
    }

    private static byte[] readSmall(String path) {
        byte[] text = new byte[4096];
        try (FileInputStream file = new FileInputStream(path)) {
            file.read(text);
        } catch (IOException unreadable) {
            // Then there are no numbers on this machine.
        }
        return text;
    }

    private static int indexOf(byte[] text, String wanted) {
        for (int i = 0; i < text.length - wanted.length(); i++) {
            int j = 0;
            while (j < wanted.length() && text[i + j] == wanted.charAt(j)) {
                j++;
            }
            if (j == wanted.length()) {
                return i;
            }
        }
        return -1;
    }

    private static long number(byte[] text, int at) {
        while (at < text.length && (text[at] == ' ' || text[at] == '\t')) {
            at++;
        }
        long value = 0;
        while (at < text.length && text[at] >= '0' && text[at] <= '9') {
            value = value * 10 + text[at++] - '0';
        }
        return value;
    }

    private int u16(int at) {
        return (data[at] & 0xff) | (data[at + 1] & 0xff) << 8;
    }

    private int u32(int at) {
        return u16(at) | u16(at + 2) << 16;
    }

    /** The text, or the one before where it is the same: ARNs hardly change. */
    private String text(int from, int to, String before) {
        if (from == to) {
            return "";
        }
        if (before.length() == to - from) {
            int i = from;
            while (i < to && before.charAt(i - from) == data[i]) {
                i++;
            }
            if (i == to) {
                return before;
            }
        }
        return new String(data, from, to - from, StandardCharsets.UTF_8);
    }
}
