package lamington.runtime;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;

/**
 * What the function prints: {@code System.out} and {@code System.err} in one buffer, in order.
 *
 * <p>Each line is written when it ends, so that a process which is killed has said what it said.
 */
final class Output extends OutputStream {
    private static final byte RECORD_BREAK = 0x1e;

    private final FileOutputStream file = new FileOutputStream(FileDescriptor.out);
    private final byte[] buffer = new byte[8192];
    private int filled;
    private boolean inLine;
    private PrintStream out;
    private PrintStream err;

    void install() throws IOException {
        out = new PrintStream(this, true, "UTF-8");
        err = new PrintStream(this, true, "UTF-8");
        System.setOut(out);
        System.setErr(err);
    }

    @Override
    public synchronized void write(int value) throws IOException {
        if (filled == buffer.length) {
            flush();
        }
        buffer[filled++] = (byte) value;
        inLine = value != '\n';
    }

    @Override
    public synchronized void write(byte[] given, int from, int length) throws IOException {
        if (length == 0) {
            return;
        }
        if (length > buffer.length - filled) {
            flush();
        }
        if (length > buffer.length) {
            file.write(given, from, length);
        } else {
            System.arraycopy(given, from, buffer, filled, length);
            filled += length;
        }
        inLine = given[from + length - 1] != '\n';
    }

    @Override
    public synchronized void flush() throws IOException {
        if (filled > 0) {
            int size = filled;
            filled = 0;
            file.write(buffer, 0, size);
        }
    }

    /** Write a text as one log event, whatever lines it has. */
    synchronized void record(byte[] text) throws IOException {
        if (inLine) {
            write('\n');
        }
        int size = text.length;
        if (size > 0 && text[size - 1] == '\n') {
            size--;
        }
        for (int i = 0; i < size; i++) {
            write(text[i] == '\n' ? RECORD_BREAK : text[i]);
        }
        write('\n');
        flush();
    }

    /** Write a text as it is: the next one may follow on the same line. */
    synchronized void raw(byte[] text) throws IOException {
        write(text, 0, text.length);
        flush();
    }

    /** Write all that was printed, also by streams that a function put in the place of ours. */
    void flushAll() throws IOException {
        System.out.flush();
        System.err.flush();
        out.flush();
        err.flush();
        flush();
    }
}
