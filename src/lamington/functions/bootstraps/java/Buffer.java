package lamington.runtime;

import java.io.OutputStream;
import java.util.Arrays;

/** A reply in the making: room for the frame's header, then the payload, sent in one write. */
final class Buffer extends OutputStream {
    static final int HEADER_BYTES = 13;
    private static final int KEPT_BYTES = 1 << 20;

    byte[] bytes = new byte[8192];
    int size = HEADER_BYTES;

    @Override
    public void write(int value) {
        if (size == bytes.length) {
            grow(1);
        }
        bytes[size++] = (byte) value;
    }

    @Override
    public void write(byte[] given, int from, int length) {
        if (bytes.length - size < length) {
            grow(length);
        }
        System.arraycopy(given, from, bytes, size, length);
        size += length;
    }

    @Override
    public void write(byte[] given) {
        write(given, 0, given.length);
    }

    /** Write characters that are known to be ASCII. */
    @SuppressWarnings("deprecation")
    void ascii(String text) {
        int length = text.length();
        if (bytes.length - size < length) {
            grow(length);
        }
        text.getBytes(0, length, bytes, size);
        size += length;
    }

    void grow(int more) {
        bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, size + more));
    }

    void clear() {
        size = HEADER_BYTES;
        if (bytes.length > KEPT_BYTES) {
            bytes = new byte[8192];
        }
    }

    void header(int kind, int memoryKb, int cpuUs) {
        put(0, size - 4);
        bytes[4] = (byte) kind;
        put(5, memoryKb);
        put(9, cpuUs);
    }

    private void put(int at, int value) {
        bytes[at] = (byte) value;
        bytes[at + 1] = (byte) (value >> 8);
        bytes[at + 2] = (byte) (value >> 16);
        bytes[at + 3] = (byte) (value >> 24);
    }
}
