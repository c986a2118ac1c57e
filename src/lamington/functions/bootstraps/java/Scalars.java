package lamington.runtime;

import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Modifier;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Calendar;
import java.util.Collection;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;

/** Values without members: numbers, texts, times and the like; and the collections to put them in. */
final class Scalars {
    private Scalars() {}

    static boolean reads(Class<?> type) {
        return type.isPrimitive()
                || type == String.class
                || type == CharSequence.class
                || Number.class.isAssignableFrom(type)
                || type == Boolean.class
                || type == Character.class
                || Enum.class.isAssignableFrom(type)
                || type == byte[].class
                || type == char[].class
                || ByteBuffer.class.isAssignableFrom(type)
                || Date.class.isAssignableFrom(type)
                || Calendar.class.isAssignableFrom(type)
                || type == UUID.class
                || type.getName().startsWith("java.time.")
                || type.getName().equals("org.joda.time.DateTime")
                || isTextual(type);
    }

    /** What is made of its text, and shown as it. */
    static boolean isTextual(Class<?> type) {
        String name = type.getName();
        return name.equals("java.net.URI") || name.equals("java.net.URL")
                || name.equals("java.io.File") || name.equals("java.util.Locale")
                || name.equals("java.util.Currency") || name.equals("java.lang.StringBuilder")
                || name.equals("java.lang.StringBuffer") || name.equals("java.util.regex.Pattern")
                || name.equals("java.util.TimeZone") || name.equals("java.lang.Class");
    }

    static Object zero(Class<?> type) {
        if (type == boolean.class) {
            return false;
        }
        if (type == char.class) {
            return '\0';
        }
        return number(type, 0);
    }

    static Object read(Class<?> type, Object json, boolean isEvent, ClassLoader loader)
            throws IOException {
        if (type == String.class || type == CharSequence.class) {
            return json.toString();
        }
        if (type == boolean.class || type == Boolean.class) {
            return readBoolean(type, json);
        }
        if (type == char.class || type == Character.class) {
            String text = json instanceof Number
                    ? String.valueOf((char) ((Number) json).intValue()) : json.toString();
            if (text.length() != 1) {
                throw Binder.mismatch(type, "String \"" + text + "\": Expected either Integer value"
                        + " code or 1-character String");
            }
            return text.charAt(0);
        }
        if (type.isPrimitive() || Number.class.isAssignableFrom(type)) {
            return readNumber(type, json);
        }
        if (type == char[].class) {
            return json.toString().toCharArray();
        }
        if (Enum.class.isAssignableFrom(type)) {
            return readConstant(type, json);
        }
        if (Date.class.isAssignableFrom(type) || Calendar.class.isAssignableFrom(type)) {
            return readDate(type, json, isEvent);
        }
        if (type.getName().startsWith("java.time.")) {
            return Times.read(type, json);
        }
        try {
            return readText(type, json.toString(), loader);
        } catch (ReflectiveOperationException error) {
            throw mismatch(type, json, error);
        } catch (RuntimeException error) {
            throw mismatch(type, json, error);
        }
    }

    private static IOException mismatch(Class<?> type, Object json, Throwable error) {
        return new IOException("Cannot deserialize value of type `" + type.getName() + "` from String"
                + " \"" + json + "\": not a valid textual representation", error);
    }

    private static Object readText(Class<?> type, String text, ClassLoader loader)
            throws ReflectiveOperationException {
        if (text.isEmpty() && type != StringBuilder.class) {
            return null;
        }
        String name = type.getName();
        if (type == UUID.class) {
            return UUID.fromString(text);
        }
        if (type == Locale.class) {
            return Locale.forLanguageTag(text.replace('_', '-'));
        }
        if (type == Class.class) {
            return Class.forName(text, false, loader);
        }
        if (name.equals("org.joda.time.DateTime")) {
            return Events.jodaTime(type, text);
        }
        if (name.equals("java.util.Currency")) {
            return java.util.Currency.getInstance(text);
        }
        if (name.equals("java.util.TimeZone")) {
            return java.util.TimeZone.getTimeZone(text);
        }
        if (name.equals("java.util.regex.Pattern")) {
            return java.util.regex.Pattern.compile(text);
        }
        return type.getConstructor(String.class).newInstance(text);
    }

    private static Object readBoolean(Class<?> type, Object json) throws IOException {
        if (json instanceof Boolean) {
            return json;
        }
        if (json instanceof Number) {
            return ((Number) json).longValue() != 0;
        }
        String text = json.toString().trim();
        if (text.equals("true") || text.equals("True") || text.equals("TRUE")) {
            return true;
        }
        if (text.equals("false") || text.equals("False") || text.equals("FALSE")) {
            return false;
        }
        if (text.isEmpty()) {
            return type.isPrimitive() ? false : null;
        }
        throw Binder.mismatch(
                type, "String \"" + text + "\": only \"true\" or \"false\" recognized");
    }

    private static Object readNumber(Class<?> type, Object json) throws IOException {
        if (json instanceof Integer) {
            int value = (Integer) json;
            if (type == int.class || type == Integer.class || type == Number.class) {
                return json;
            }
            return inRange(type, value, json);
        }
        if (json instanceof Boolean) {
            throw Binder.mismatch(type, "Boolean value (token `JsonToken.VALUE_"
                    + json.toString().toUpperCase(Locale.ROOT) + "`)");
        }
        String text = json.toString().trim();
        if (text.isEmpty()) {
            return type.isPrimitive() ? zero(type) : null;
        }
        if (json instanceof Long) {
            return inRange(type, (Long) json, json);
        }
        try {
            return ofText(type, text, json);
        } catch (NumberFormatException error) {
            throw Binder.mismatch(type, "String \"" + text + "\": not a valid `" + type.getName()
                    + "` value");
        }
    }

    private static Object ofText(Class<?> type, String text, Object json) throws IOException {
        if (type == double.class || type == Double.class) {
            return Double.parseDouble(text);
        }
        if (type == float.class || type == Float.class) {
            return Float.parseFloat(text);
        }
        BigDecimal exact = new BigDecimal(text);
        if (type == BigDecimal.class) {
            return exact;
        }
        if (type == BigInteger.class) {
            return exact.toBigInteger();
        }
        if (type == Number.class) {
            return json instanceof BigInteger ? json : (Object) exact.doubleValue();
        }
        // A text is a whole number or an error; a number loses its fraction.
        if (json instanceof String && text.indexOf('.') >= 0) {
            throw new NumberFormatException(text);
        }
        BigInteger whole = exact.toBigInteger();
        if (whole.bitLength() > 63) {
            throw outOfRange(type, json);
        }
        return inRange(type, whole.longValue(), json);
    }

    private static Object inRange(Class<?> type, long value, Object json) throws IOException {
        boolean fits = true;
        if (type == int.class || type == Integer.class) {
            fits = value == (int) value;
        } else if (type == short.class || type == Short.class) {
            fits = value == (short) value;
        } else if (type == byte.class || type == Byte.class) {
            fits = value >= -128 && value <= 255;
        }
        if (!fits) {
            throw outOfRange(type, json);
        }
        return number(type, value);
    }

    private static IOException outOfRange(Class<?> type, Object json) {
        String range = type == int.class || type == Integer.class
                ? "int (-2147483648 - 2147483647)" : type == long.class || type == Long.class
                ? "long (-9223372036854775808 - 9223372036854775807)" : type.getName();
        return new IOException("Numeric value (" + json + ") out of range of " + range);
    }

    private static Object number(Class<?> type, long value) {
        if (type == int.class || type == Integer.class) {
            return (int) value;
        }
        if (type == long.class || type == Long.class || type == Number.class) {
            return value;
        }
        if (type == double.class || type == Double.class) {
            return (double) value;
        }
        if (type == float.class || type == Float.class) {
            return (float) value;
        }
        if (type == short.class || type == Short.class) {
            return (short) value;
        }
        if (type == byte.class || type == Byte.class) {
            return (byte) value;
        }
        if (type == BigDecimal.class) {
            return BigDecimal.valueOf(value);
        }
        if (type == BigInteger.class) {
            return BigInteger.valueOf(value);
        }
        if (type == java.util.concurrent.atomic.AtomicInteger.class) {
            return new java.util.concurrent.atomic.AtomicInteger((int) value);
        }
        return new java.util.concurrent.atomic.AtomicLong(value);
    }

    private static Object readConstant(Class<?> type, Object json) {
        Object[] constants = type.getEnumConstants();
        if (json instanceof Integer) {
            int at = (Integer) json;
            return at >= 0 && at < constants.length ? constants[at] : null;
        }
        for (Object each : constants) {
            if (((Enum<?>) each).name().equals(json)) {
                return each;
            }
        }
        return null;
    }

    private static Object readDate(Class<?> type, Object json, boolean isEvent) throws IOException {
        long ms;
        if (json instanceof Number || json instanceof Json.Decimal) {
            double number = Double.parseDouble(json.toString());
            if (isEvent && number == 0) {
                return null;
            }
            ms = isEvent ? (long) (number * 1000) : (long) number;
        } else {
            String text = json.toString().trim();
            if (text.isEmpty()) {
                return null;
            }
            if (text.indexOf('T') < 0) {
                text += "T00:00:00Z";
            }
            // An offset may lack its colon: +0000.
            int sign = Math.max(text.lastIndexOf('+'), text.lastIndexOf('-'));
            if (sign > text.indexOf('T') && text.length() - sign == 5) {
                text = text.substring(0, sign + 3) + ":" + text.substring(sign + 3);
            } else if (sign < text.indexOf('T') && !text.endsWith("Z")) {
                text += "Z";
            }
            java.time.OffsetDateTime time =
                    (java.time.OffsetDateTime) Times.read(java.time.OffsetDateTime.class, text);
            ms = time.toInstant().toEpochMilli();
        }
        if (Calendar.class.isAssignableFrom(type)) {
            Calendar calendar = new java.util.GregorianCalendar(java.util.TimeZone.getTimeZone("UTC"));
            calendar.setTimeInMillis(ms);
            return calendar;
        }
        if (type == Date.class) {
            return new Date(ms);
        }
        try {
            return type.getConstructor(long.class).newInstance(ms);
        } catch (ReflectiveOperationException error) {
            throw mismatch(type, json, error);
        }
    }

    // Collections

    @SuppressWarnings({"unchecked", "rawtypes"})
    static Collection<Object> collection(Class<?> type, Class<?> element, int size)
            throws IOException {
        if (type.isAssignableFrom(ArrayList.class)) {
            return new ArrayList<Object>(size);
        }
        if (type == Set.class) {
            return new HashSet<Object>();
        }
        if (type.isInterface() && type.isAssignableFrom(TreeSet.class)) {
            return new TreeSet<Object>();
        }
        if (type.isInterface() && type.isAssignableFrom(ArrayDeque.class)) {
            return new ArrayDeque<Object>();
        }
        if (type == EnumSet.class) {
            return EnumSet.noneOf((Class) element);
        }
        return (Collection<Object>) make(type);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    static Map<Object, Object> map(Class<?> type, Class<?> key) throws IOException {
        if (type.isAssignableFrom(LinkedHashMap.class)) {
            return new LinkedHashMap<Object, Object>();
        }
        if (type.isInterface() && type.isAssignableFrom(TreeMap.class)) {
            return new TreeMap<Object, Object>();
        }
        if (type.isInterface()
                && type.isAssignableFrom(java.util.concurrent.ConcurrentSkipListMap.class)) {
            return new java.util.concurrent.ConcurrentHashMap<Object, Object>();
        }
        if (type == EnumMap.class) {
            return new EnumMap(key);
        }
        return (Map<Object, Object>) make(type);
    }

    private static Object make(Class<?> type) throws IOException {
        try {
            if (Modifier.isAbstract(type.getModifiers())) {
                throw new InstantiationException(type.getName());
            }
            Constructor<?> constructor = type.getDeclaredConstructor();
            Shape.open(constructor);
            return constructor.newInstance();
        } catch (ReflectiveOperationException error) {
            throw new IOException(
                    "Cannot find a deserializer for non-concrete type " + type.getName(), error);
        }
    }
}
