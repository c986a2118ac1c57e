package lamington.runtime;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.temporal.TemporalAccessor;
import java.util.List;

/** The types of `java.time`, read and written as AWS's mapper does: points in time as numbers. */
final class Times {
    private Times() {}

    static Object read(Class<?> type, Object json) throws IOException {
        try {
            if (json instanceof List) {
                return readParts(type, (List<?>) json);
            }
            if (json instanceof Number || json instanceof Json.Decimal) {
                return readNumber(type, new BigDecimal(json.toString()));
            }
            String text = String.valueOf(json).trim();
            if (text.isEmpty()) {
                return null;
            }
            if (type == ZoneId.class) {
                return ZoneId.of(text);
            }
            if (type == ZoneOffset.class) {
                return ZoneOffset.of(text);
            }
            if (type == LocalDate.class && text.indexOf('T') > 0) {
                return LocalDate.parse(text.substring(0, text.indexOf('T')));
            }
            if (type == Instant.class && !text.endsWith("Z")) {
                return OffsetDateTime.parse(text).toInstant();
            }
            return type.getMethod("parse", CharSequence.class).invoke(null, text);
        } catch (InvocationTargetException error) {
            throw mismatch(type, json, error.getCause());
        } catch (ReflectiveOperationException error) {
            throw mismatch(type, json, error);
        } catch (RuntimeException error) {
            throw mismatch(type, json, error);
        }
    }

    private static IOException mismatch(Class<?> type, Object json, Throwable cause) {
        return new IOException(
                "Cannot deserialize value of type `" + type.getName() + "` from " + json + ": "
                        + cause.getMessage(),
                cause);
    }

    private static Object readParts(Class<?> type, List<?> parts) {
        int[] at = new int[7];
        for (int i = 0; i < parts.size() && i < at.length; i++) {
            at[i] = ((Number) parts.get(i)).intValue();
        }
        if (type == LocalDate.class) {
            return LocalDate.of(at[0], at[1], at[2]);
        }
        if (type == LocalTime.class) {
            return LocalTime.of(at[0], at[1], at[2], at[3]);
        }
        if (type == LocalDateTime.class) {
            return LocalDateTime.of(at[0], at[1], at[2], at[3], at[4], at[5], at[6]);
        }
        throw new IllegalArgumentException("an array is not expected");
    }

    private static Object readNumber(Class<?> type, BigDecimal seconds) {
        long whole = seconds.longValue();
        int nanos = seconds.subtract(BigDecimal.valueOf(whole)).movePointRight(9).intValue();
        if (type == Duration.class) {
            return Duration.ofSeconds(whole, nanos);
        }
        Instant instant = Instant.ofEpochSecond(whole, nanos);
        if (type == Instant.class) {
            return instant;
        }
        if (type == OffsetDateTime.class) {
            return instant.atOffset(ZoneOffset.UTC);
        }
        if (type == ZonedDateTime.class) {
            return instant.atZone(ZoneOffset.UTC);
        }
        if (type == LocalDate.class) {
            return LocalDate.ofEpochDay(whole);
        }
        if (type.getName().equals("java.time.Year")) {
            return java.time.Year.of((int) whole);
        }
        throw new IllegalArgumentException("a number is not expected");
    }

    /** A value as numbers, arrays of them, or its own text. */
    static void write(Object value, Buffer buffer) {
        if (value instanceof Instant) {
            Instant instant = (Instant) value;
            seconds(instant.getEpochSecond(), instant.getNano(), buffer);
        } else if (value instanceof OffsetDateTime) {
            write(((OffsetDateTime) value).toInstant(), buffer);
        } else if (value instanceof ZonedDateTime) {
            write(((ZonedDateTime) value).toInstant(), buffer);
        } else if (value instanceof Duration) {
            seconds(((Duration) value).getSeconds(), ((Duration) value).getNano(), buffer);
        } else if (value instanceof LocalDate) {
            buffer.write('[');
            date((LocalDate) value, buffer);
            buffer.write(']');
        } else if (value instanceof LocalTime) {
            buffer.write('[');
            time((LocalTime) value, buffer);
            buffer.write(']');
        } else if (value instanceof LocalDateTime) {
            buffer.write('[');
            date(((LocalDateTime) value).toLocalDate(), buffer);
            buffer.write(',');
            time(((LocalDateTime) value).toLocalTime(), buffer);
            buffer.write(']');
        } else if (value instanceof java.time.Year) {
            buffer.ascii(value.toString());
        } else {
            Json.writeString(value.toString(), buffer);
        }
    }

    static boolean isTime(Object value) {
        return value instanceof TemporalAccessor
                || value instanceof java.time.temporal.TemporalAmount
                || value instanceof ZoneId;
    }

    private static void seconds(long whole, int nanos, Buffer buffer) {
        buffer.ascii(BigDecimal.valueOf(whole).add(BigDecimal.valueOf(nanos, 9)).toPlainString());
    }

    private static void date(LocalDate date, Buffer buffer) {
        buffer.ascii(date.getYear() + "," + date.getMonthValue() + "," + date.getDayOfMonth());
    }

    private static void time(LocalTime time, Buffer buffer) {
        buffer.ascii(time.getHour() + "," + time.getMinute());
        if (time.getSecond() > 0 || time.getNano() > 0) {
            buffer.ascii("," + time.getSecond());
            if (time.getNano() > 0) {
                buffer.ascii("," + time.getNano());
            }
        }
    }
}
