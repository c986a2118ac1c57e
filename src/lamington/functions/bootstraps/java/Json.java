package lamington.runtime;

import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON text to maps, lists, strings, numbers and booleans; strings to JSON text.
 *
 * <p>Strict: the engine refuses events that are not JSON before they come here.
 */
final class Json {
    static final int DEPTH_MAX = 1000;
    private static final byte[] HEX = {
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'
    };

    private final byte[] data;
    private final int end;
    private final boolean exact;
    private int at;
    private int depth;

    private Json(byte[] data, int from, int to, boolean exact) {
        this.data = data;
        this.at = from;
        this.end = to;
        this.exact = exact;
    }

    /** A number with a fraction or an exponent, for readers that want all of its digits. */
    static final class Decimal {
        final String text;

        Decimal(String text) {
            this.text = text;
        }

        double value() {
            return Double.parseDouble(text);
        }

        BigDecimal exact() {
            return new BigDecimal(text);
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** The value of a text; {@code exact} keeps fractions as {@link Decimal}. */
    static Object parse(byte[] data, int from, int to, boolean exact) throws IOException {
        Json json = new Json(data, from, to, exact);
        json.skip();
        if (json.at == to) {
            throw new IOException("No content to map due to end-of-input");
        }
        Object value = json.value();
        json.skip();
        if (json.at < to) {
            throw json.unexpected("expected the end of the input");
        }
        return value;
    }

    private Object value() throws IOException {
        if (at == end) {
            throw new IOException("Unexpected end-of-input");
        }
        switch (data[at]) {
            case '{':
                return object();
            case '[':
                return array();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object() throws IOException {
        deeper();
        Map<String, Object> map = new LinkedHashMap<String, Object>();
        at++;
        skip();
        if (peek() == '}') {
            at++;
            depth--;
            return map;
        }
        while (true) {
            if (peek() != '"') {
                throw unexpected("was expecting double-quote to start field name");
            }
            String name = string();
            skip();
            if (peek() != ':') {
                throw unexpected("was expecting a colon to separate field name and value");
            }
            at++;
            skip();
            map.put(name, value());
            skip();
            int next = peek();
            at++;
            if (next == '}') {
                depth--;
                return map;
            }
            if (next != ',') {
                at--;
                throw unexpected("was expecting comma to separate Object entries");
            }
            skip();
        }
    }

    private List<Object> array() throws IOException {
        deeper();
        List<Object> list = new ArrayList<Object>();
        at++;
        skip();
        if (peek() == ']') {
            at++;
            depth--;
            return list;
        }
        while (true) {
            list.add(value());
            skip();
            int next = peek();
            at++;
            if (next == ']') {
                depth--;
                return list;
            }
            if (next != ',') {
                at--;
                throw unexpected("was expecting comma to separate Array entries");
            }
            skip();
        }
    }

    private void deeper() throws IOException {
        if (++depth > DEPTH_MAX) {
            throw new IOException(
                    "Document nesting depth (1001) exceeds the maximum allowed (1000, from"
                            + " `StreamReadConstraints.getMaxNestingDepth()`)");
        }
    }

    private Object word(String word, Object value) throws IOException {
        for (int i = 0; i < word.length(); i++) {
            if (at + i >= end || data[at + i] != word.charAt(i)) {
                throw unexpected("was expecting (JSON String, Number, Array, Object or token"
                        + " 'null', 'true' or 'false')");
            }
        }
        at += word.length();
        return value;
    }

    private Object number() throws IOException {
        int from = at;
        if (peek() == '-') {
            at++;
        }
        int digits = at;
        while (at < end && data[at] >= '0' && data[at] <= '9') {
            at++;
        }
        if (at == digits || (data[digits] == '0' && at - digits > 1)) {
            throw unexpected("expected a valid value (JSON String, Number, Array, Object or token"
                    + " 'null', 'true' or 'false')");
        }
        boolean whole = true;
        if (at < end && data[at] == '.') {
            whole = false;
            at++;
            digits();
        }
        if (at < end && (data[at] | 0x20) == 'e') {
            whole = false;
            at++;
            if (at < end && (data[at] == '+' || data[at] == '-')) {
                at++;
            }
            digits();
        }
        if (whole && at - digits <= 18) {
            long value = 0;
            for (int i = digits; i < at; i++) {
                value = value * 10 + data[i] - '0';
            }
            if (digits > from) {
                value = -value;
            }
            if (value == (int) value) {
                return (int) value;
            }
            return value;
        }
        String text = new String(data, from, at - from, StandardCharsets.ISO_8859_1);
        if (!whole) {
            Decimal decimal = new Decimal(text);
            return exact ? decimal : (Object) decimal.value();
        }
        BigInteger value = new BigInteger(text);
        return value.bitLength() < 64 ? (Object) value.longValue() : value;
    }

    private void digits() throws IOException {
        int from = at;
        while (at < end && data[at] >= '0' && data[at] <= '9') {
            at++;
        }
        if (at == from) {
            throw unexpected("expected a digit");
        }
    }

    private String string() throws IOException {
        int from = ++at;
        boolean ascii = true;
        while (true) {
            if (at == end) {
                throw new IOException("Unexpected end-of-input: was expecting closing quote");
            }
            byte next = data[at];
            if (next == '"') {
                String text = new String(data, from, at - from,
                        ascii ? StandardCharsets.ISO_8859_1 : StandardCharsets.UTF_8);
                at++;
                return text;
            }
            if (next == '\\') {
                return escaped(from);
            }
            if (next < 0) {
                ascii = false;
            } else if (next < 0x20) {
                throw unexpected("control characters must be escaped");
            }
            at++;
        }
    }

    private String escaped(int from) throws IOException {
        StringBuilder text = new StringBuilder();
        while (true) {
            if (at == end) {
                throw new IOException("Unexpected end-of-input: was expecting closing quote");
            }
            byte next = data[at];
            if (next != '"' && next != '\\') {
                at++;
                continue;
            }
            text.append(new String(data, from, at - from, StandardCharsets.UTF_8));
            at++;
            if (next == '"') {
                return text.toString();
            }
            text.append(escape());
            from = at;
        }
    }

    private char escape() throws IOException {
        int next = peek();
        at++;
        switch (next) {
            case 'n':
                return '\n';
            case 't':
                return '\t';
            case 'r':
                return '\r';
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case '"':
            case '\\':
            case '/':
                return (char) next;
            case 'u':
                int code = 0;
                for (int i = 0; i < 4; i++) {
                    int digit = Character.digit(peek(), 16);
                    if (digit < 0) {
                        throw unexpected("expected a hex-digit for character escape sequence");
                    }
                    code = code << 4 | digit;
                    at++;
                }
                return (char) code;
            default:
                at--;
                throw unexpected("unrecognized character escape");
        }
    }

    private int peek() throws IOException {
        if (at >= end) {
            throw new IOException("Unexpected end-of-input");
        }
        return data[at];
    }

    private void skip() {
        while (at < end) {
            byte next = data[at];
            if (next != ' ' && next != '\n' && next != '\r' && next != '\t') {
                return;
            }
            at++;
        }
    }

    private IOException unexpected(String wanted) {
        if (at >= end) {
            return new IOException("Unexpected end-of-input");
        }
        int code = data[at] & 0xff;
        return new IOException(
                "Unexpected character ('" + (char) code + "' (code " + code + ")): " + wanted);
    }

    // Writing

    /** Write a string; a half of a surrogate pair alone becomes a question mark. */
    static void writeString(String text, Buffer buffer) {
        int length = text.length();
        // Six bytes for a character at the very most: an escape.
        if (buffer.bytes.length - buffer.size < length * 3 + 2) {
            buffer.grow(length * 3 + 2);
        }
        byte[] bytes = buffer.bytes;
        int to = buffer.size;
        bytes[to++] = '"';
        for (int i = 0; i < length; i++) {
            char next = text.charAt(i);
            if (next >= 0x20 && next < 0x80 && next != '"' && next != '\\') {
                bytes[to++] = (byte) next;
                continue;
            }
            // What is rare may need more room than three bytes a character.
            buffer.size = to;
            if (bytes.length - to < (length - i) * 3 + 8) {
                buffer.grow((length - i) * 3 + 8);
            }
            i = writeRare(text, i, buffer);
            bytes = buffer.bytes;
            to = buffer.size;
        }
        buffer.size = to;
        buffer.write('"');
    }

    private static int writeRare(String text, int i, Buffer buffer) {
        char next = text.charAt(i);
        if (next < 0x80) {
            writeEscape(next, buffer);
        } else if (next < 0x800) {
            buffer.write(0xc0 | next >> 6);
            buffer.write(0x80 | next & 0x3f);
        } else if (Character.isHighSurrogate(next)
                && i + 1 < text.length()
                && Character.isLowSurrogate(text.charAt(i + 1))) {
            int code = Character.toCodePoint(next, text.charAt(i + 1));
            buffer.write(0xf0 | code >> 18);
            buffer.write(0x80 | code >> 12 & 0x3f);
            buffer.write(0x80 | code >> 6 & 0x3f);
            buffer.write(0x80 | code & 0x3f);
            return i + 1;
        } else if (Character.isSurrogate(next)) {
            buffer.write('?');
        } else {
            buffer.write(0xe0 | next >> 12);
            buffer.write(0x80 | next >> 6 & 0x3f);
            buffer.write(0x80 | next & 0x3f);
        }
        return i;
    }

    private static void writeEscape(char next, Buffer buffer) {
        buffer.write('\\');
        switch (next) {
            case '"':
            case '\\':
                buffer.write(next);
                break;
            case '\n':
                buffer.write('n');
                break;
            case '\r':
                buffer.write('r');
                break;
            case '\t':
                buffer.write('t');
                break;
            case '\b':
                buffer.write('b');
                break;
            case '\f':
                buffer.write('f');
                break;
            default:
                if (next >= 0x20) {
                    buffer.size--;
                    buffer.write(next);
                    break;
                }
                buffer.ascii("u00");
                buffer.write(HEX[next >> 4]);
                buffer.write(HEX[next & 15]);
        }
    }
}
