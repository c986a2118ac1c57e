package lamington.runtime;

import java.io.IOException;
import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.Calendar;
import java.util.Date;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/**
 * Writes the values that handlers return as JSON.
 *
 * <p>AWS: members that are null are left out, of objects and of maps; fields come in the order in which
 * they are declared; dates are milliseconds, in AWS's own events seconds.
 */
final class Writer {
    private final Binder binder;
    private int depth;

    Writer(Binder binder) {
        this.binder = binder;
    }

    /** Write a value of a declared type: of an object only what that type knows is shown. */
    void writeRoot(Object value, Class<?> declared, Buffer buffer) throws IOException {
        depth = 0;
        if (value == null
                || declared == Object.class
                || declared.isPrimitive()
                || declared == value.getClass()
                || !isBean(value)
                || !isBeanType(declared)) {
            write(value, buffer);
        } else {
            writeBean(value, binder.shape(declared), buffer);
        }
    }

    void write(Object value, Buffer buffer) throws IOException {
        if (value == null) {
            buffer.ascii("null");
        } else if (value instanceof String) {
            Json.writeString((String) value, buffer);
        } else if (value instanceof Integer || value instanceof Boolean || value instanceof Long) {
            buffer.ascii(value.toString());
        } else if (value instanceof Map) {
            writeMap((Map<?, ?>) value, buffer);
        } else if (value instanceof List) {
            writeList((List<?>) value, buffer);
        } else if (value instanceof Number) {
            writeNumber((Number) value, buffer);
        } else if (value instanceof Enum) {
            Json.writeString(((Enum<?>) value).name(), buffer);
        } else if (value.getClass().isArray()) {
            writeArray(value, buffer);
        } else if (isBean(value)) {
            writeBean(value, binder.shape(value.getClass()), buffer);
        } else {
            writeRare(value, buffer);
        }
    }

    private static boolean isBeanType(Class<?> type) {
        return !Scalars.reads(type)
                && !type.isArray()
                && !Map.class.isAssignableFrom(type)
                && !Iterable.class.isAssignableFrom(type)
                && type != java.util.Optional.class
                && type != java.io.Serializable.class
                && type != Comparable.class;
    }

    private static boolean isBean(Object value) {
        Class<?> type = value.getClass();
        return isBeanType(type)
                && !(value instanceof Iterator)
                && !(value instanceof Map.Entry)
                && !(value instanceof Json.Decimal)
                && !(type.getName().startsWith("java.util.concurrent.atomic."));
    }

    private void writeNumber(Number value, Buffer buffer) {
        if (value instanceof Double && (((Double) value).isNaN() || ((Double) value).isInfinite())
                || value instanceof Float && (((Float) value).isNaN() || ((Float) value).isInfinite())) {
            Json.writeString(value.toString(), buffer);
        } else {
            buffer.ascii(value.toString());
        }
    }

    private void deeper() throws IOException {
        if (++depth > Json.DEPTH_MAX) {
            throw new IOException("Document nesting depth (1001) exceeds the maximum allowed (1000,"
                    + " from `StreamWriteConstraints.getMaxNestingDepth()`)");
        }
    }

    private void writeMap(Map<?, ?> map, Buffer buffer) throws IOException {
        deeper();
        buffer.write('{');
        boolean first = true;
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            Object value = entry.getValue();
            if (value == null) {
                continue;
            }
            if (!first) {
                buffer.write(',');
            }
            first = false;
            Object key = entry.getKey();
            if (key == null) {
                throw new IOException("Null key for a Map not allowed in JSON (use a converting"
                        + " NullKeySerializer?)");
            }
            Json.writeString(
                    key instanceof Enum ? ((Enum<?>) key).name() : key.toString(), buffer);
            buffer.write(':');
            write(value, buffer);
        }
        buffer.write('}');
        depth--;
    }

    private void writeList(List<?> list, Buffer buffer) throws IOException {
        deeper();
        buffer.write('[');
        boolean first = true;
        for (Object each : list) {
            if (!first) {
                buffer.write(',');
            }
            first = false;
            write(each, buffer);
        }
        buffer.write(']');
        depth--;
    }

    private void writeAll(Iterator<?> all, Buffer buffer) throws IOException {
        deeper();
        buffer.write('[');
        for (boolean first = true; all.hasNext(); first = false) {
            if (!first) {
                buffer.write(',');
            }
            write(all.next(), buffer);
        }
        buffer.write(']');
        depth--;
    }

    private void writeArray(Object array, Buffer buffer) throws IOException {
        if (array instanceof byte[]) {
            Json.writeString(Base64.getEncoder().encodeToString((byte[]) array), buffer);
            return;
        }
        if (array instanceof char[]) {
            Json.writeString(new String((char[]) array), buffer);
            return;
        }
        deeper();
        buffer.write('[');
        int length = Array.getLength(array);
        for (int i = 0; i < length; i++) {
            if (i > 0) {
                buffer.write(',');
            }
            write(Array.get(array, i), buffer);
        }
        buffer.write(']');
        depth--;
    }

    private void writeBean(Object value, Shape shape, Buffer buffer) throws IOException {
        deeper();
        buffer.write('{');
        boolean first = true;
        for (Shape.Property property : shape.written) {
            Object member;
            try {
                member = property.get(value);
            } catch (InvocationTargetException error) {
                Throwable cause = error.getCause();
                if (cause instanceof VirtualMachineError) {
                    throw (VirtualMachineError) cause;
                }
                throw new IOException(String.valueOf(cause.getMessage()), cause);
            } catch (ReflectiveOperationException error) {
                throw new IOException(String.valueOf(error.getMessage()), error);
            }
            if (member == null) {
                continue;
            }
            if (member == value) {
                throw new IOException("Direct self-reference leading to cycle");
            }
            if (!first) {
                buffer.write(',');
            }
            first = false;
            buffer.write(property.label, 0, property.label.length);
            write(member, buffer);
        }
        buffer.write('}');
        depth--;
    }

    private void writeRare(Object value, Buffer buffer) throws IOException {
        if (value instanceof Date) {
            writeMs(((Date) value).getTime(), buffer);
        } else if (value instanceof Calendar) {
            writeMs(((Calendar) value).getTimeInMillis(), buffer);
        } else if (value instanceof ByteBuffer) {
            ByteBuffer bytes = ((ByteBuffer) value).duplicate();
            byte[] copy = new byte[bytes.remaining()];
            bytes.get(copy);
            Json.writeString(Base64.getEncoder().encodeToString(copy), buffer);
        } else if (value instanceof Iterable) {
            writeAll(((Iterable<?>) value).iterator(), buffer);
        } else if (value instanceof Iterator) {
            writeAll((Iterator<?>) value, buffer);
        } else if (value instanceof java.util.Optional) {
            java.util.Optional<?> optional = (java.util.Optional<?>) value;
            write(optional.isPresent() ? optional.get() : null, buffer);
        } else if (value instanceof Map.Entry) {
            Map.Entry<?, ?> entry = (Map.Entry<?, ?>) value;
            writeMap(java.util.Collections.singletonMap(entry.getKey(), entry.getValue()), buffer);
        } else if (value instanceof java.util.TimeZone) {
            Json.writeString(((java.util.TimeZone) value).getID(), buffer);
        } else if (value instanceof Class) {
            Json.writeString(((Class<?>) value).getName(), buffer);
        } else if (value instanceof java.util.Locale) {
            Json.writeString(((java.util.Locale) value).toLanguageTag(), buffer);
        } else if (value instanceof java.util.concurrent.atomic.AtomicBoolean
                || value instanceof Json.Decimal) {
            buffer.ascii(value.toString());
        } else if (Times.isTime(value)) {
            Times.write(value, buffer);
        } else {
            Json.writeString(value.toString(), buffer);
        }
    }

    private void writeMs(long ms, Buffer buffer) {
        buffer.ascii(binder.readsEvents() ? Double.toString(ms / 1000.0) : Long.toString(ms));
    }
}
