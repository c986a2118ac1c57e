package lamington.runtime;

import java.io.IOException;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Makes values of the function's own types out of parsed JSON.
 *
 * <p>A type is examined once; what it takes to read it is kept. AWS: unknown members are ignored, one
 * value stands for a list of one and a list of one for a value, an empty text is no object, numbers and
 * texts stand for each other, an unknown constant of an enum is null.
 */
final class Binder {
    /** How values of one type are read. */
    abstract static class Reader {
        abstract Object read(Object json) throws IOException;
    }

    private final ClassLoader loader;
    private final boolean isEvent;
    private final Map<Type, Reader> readers = new HashMap<Type, Reader>();
    private final Map<Class<?>, Shape> shapes = new HashMap<Class<?>, Shape>();

    Binder(ClassLoader loader) {
        this(loader, false);
    }

    Binder(ClassLoader loader, boolean isEvent) {
        this.loader = loader;
        this.isEvent = isEvent;
    }

    boolean readsEvents() {
        return isEvent;
    }

    Shape shape(Class<?> type) {
        Shape shape = shapes.get(type);
        if (shape == null) {
            shape = new Shape(type, isEvent);
            shapes.put(type, shape);
        }
        return shape;
    }

    Reader reader(Type type) {
        Reader reader = readers.get(type);
        if (reader == null) {
            final Reader[] made = new Reader[1];
            // A type may hold itself: until it is known, it is looked up late.
            readers.put(type, new Reader() {
                @Override
                Object read(Object json) throws IOException {
                    return made[0].read(json);
                }
            });
            reader = make(type);
            made[0] = reader;
            readers.put(type, reader);
        }
        return reader;
    }

    private Reader make(Type type) {
        final Class<?> raw = Types.raw(type);
        if (raw == Object.class) {
            return new Untyped();
        }
        if (Scalars.reads(raw)) {
            return new Scalar(raw);
        }
        if (raw == java.util.Optional.class) {
            final Reader inner = reader(Types.arguments(type, raw)[0]);
            return new Reader() {
                @Override
                Object read(Object json) throws IOException {
                    return java.util.Optional.ofNullable(inner.read(json));
                }
            };
        }
        if (raw.isArray()) {
            Type element = type instanceof GenericArrayType
                    ? ((GenericArrayType) type).getGenericComponentType() : raw.getComponentType();
            return new Many(raw, element, null);
        }
        if (Map.class.isAssignableFrom(raw)) {
            return new Entries(raw, Types.arguments(type, Map.class));
        }
        if (Iterable.class.isAssignableFrom(raw)
                && (raw.isInterface() || Collection.class.isAssignableFrom(raw))) {
            return new Many(raw, Types.arguments(type, Iterable.class)[0], raw);
        }
        return new Bean(type, raw);
    }

    static Object untyped(Object json) {
        if (json instanceof Json.Decimal) {
            return ((Json.Decimal) json).value();
        }
        if (json instanceof Map) {
            for (Map.Entry<?, Object> entry : Binder.<Map<?, Object>>cast(json).entrySet()) {
                entry.setValue(untyped(entry.getValue()));
            }
        } else if (json instanceof List) {
            List<Object> list = cast(json);
            for (int i = 0; i < list.size(); i++) {
                list.set(i, untyped(list.get(i)));
            }
        }
        return json;
    }

    @SuppressWarnings("unchecked")
    private static <T> T cast(Object value) {
        return (T) value;
    }

    /** A list of one for a value; null for an empty list. */
    private static Object unwrap(Object json, Class<?> type) throws IOException {
        if (!(json instanceof List)) {
            return json;
        }
        List<?> list = (List<?>) json;
        if (list.isEmpty()) {
            return null;
        }
        if (list.size() == 1) {
            return list.get(0);
        }
        throw mismatch(type, "Array value (token `JsonToken.START_ARRAY`)");
    }

    static IOException mismatch(Class<?> type, String from) {
        return new IOException(
                "Cannot deserialize value of type `" + nameOf(type) + "` from " + from);
    }

    private static String nameOf(Class<?> type) {
        return type.isArray() ? nameOf(type.getComponentType()) + "[]" : type.getName();
    }

    private static final class Untyped extends Reader {
        @Override
        Object read(Object json) {
            return untyped(json);
        }
    }

    private final class Scalar extends Reader {
        private final Class<?> type;

        Scalar(Class<?> type) {
            this.type = type;
        }

        @Override
        Object read(Object json) throws IOException {
            if (json == null) {
                return type.isPrimitive() ? Scalars.zero(type) : null;
            }
            if (json instanceof String && type == String.class) {
                return json;
            }
            if (type == byte[].class || ByteBuffer.class.isAssignableFrom(type)) {
                return readBytes(json);
            }
            if (json instanceof List && type.getName().startsWith("java.time.")) {
                return Times.read(type, json);
            }
            Object value = unwrap(json, type);
            if (value == null) {
                return type.isPrimitive() ? Scalars.zero(type) : null;
            }
            if (value instanceof Map) {
                throw mismatch(type, "Object value (token `JsonToken.START_OBJECT`)");
            }
            return Scalars.read(type, value, isEvent, loader);
        }

        private Object readBytes(Object json) throws IOException {
            byte[] bytes;
            if (json instanceof String) {
                try {
                    bytes = Base64.getMimeDecoder().decode((String) json);
                } catch (IllegalArgumentException error) {
                    throw new IOException(
                            "Failed to decode VALUE_STRING as base64: " + error.getMessage(), error);
                }
            } else if (json instanceof List) {
                List<?> list = (List<?>) json;
                bytes = new byte[list.size()];
                for (int i = 0; i < bytes.length; i++) {
                    bytes[i] = ((Number) list.get(i)).byteValue();
                }
            } else {
                throw mismatch(type, "a value that is no text");
            }
            return type == byte[].class ? bytes : (Object) ByteBuffer.wrap(bytes);
        }
    }

    private final class Many extends Reader {
        private final Class<?> type;
        private final Class<?> element;
        private final Reader inner;
        private final Class<?> collection;

        Many(Class<?> type, Type element, Class<?> collection) {
            this.type = type;
            this.element = Types.raw(element);
            this.inner = reader(element);
            this.collection = collection;
        }

        @Override
        Object read(Object json) throws IOException {
            if (json == null) {
                return null;
            }
            if (json instanceof String && ((String) json).isEmpty()) {
                return null;
            }
            List<?> list = json instanceof List ? (List<?>) json : Collections.singletonList(json);
            int size = list.size();
            if (collection == null) {
                Object array = Array.newInstance(element, size);
                for (int i = 0; i < size; i++) {
                    Array.set(array, i, inner.read(list.get(i)));
                }
                return array;
            }
            Collection<Object> made = Scalars.collection(collection, element, size);
            for (int i = 0; i < size; i++) {
                made.add(inner.read(list.get(i)));
            }
            return made;
        }
    }

    private final class Entries extends Reader {
        private final Class<?> type;
        private final Class<?> key;
        private final Reader inner;

        Entries(Class<?> type, Type[] arguments) {
            this.type = type;
            this.key = Types.raw(arguments[0]);
            this.inner = reader(arguments[1]);
        }

        @Override
        Object read(Object json) throws IOException {
            Object value = unwrap(json, type);
            if (value == null || (value instanceof String && ((String) value).isEmpty())) {
                return null;
            }
            if (!(value instanceof Map)) {
                throw mismatch(type, describe(value));
            }
            Map<Object, Object> made = Scalars.map(type, key);
            for (Map.Entry<String, ?> entry : Binder.<Map<String, ?>>cast(value).entrySet()) {
                Object name = entry.getKey();
                if (key != String.class && key != Object.class) {
                    name = Scalars.read(key, name, isEvent, loader);
                }
                made.put(name, inner.read(entry.getValue()));
            }
            return made;
        }
    }

    private static String describe(Object value) {
        if (value instanceof String) {
            return "String value (token `JsonToken.VALUE_STRING`)";
        }
        if (value instanceof Boolean) {
            return "Boolean value (token `JsonToken.VALUE_" + value.toString().toUpperCase() + "`)";
        }
        if (value instanceof Json.Decimal || value instanceof Double) {
            return "Floating-point value (token `JsonToken.VALUE_NUMBER_FLOAT`)";
        }
        return "Integer value (token `JsonToken.VALUE_NUMBER_INT`)";
    }

    private final class Bean extends Reader {
        private final Class<?> raw;
        private final Shape shape;
        private final Map<String, Reader> inner = new HashMap<String, Reader>();
        private Constructor<?> constructor;
        private String[] names;
        private Class<?>[] taken;

        Bean(Type type, Class<?> raw) {
            this.raw = raw;
            this.shape = shape(raw);
            Map<TypeVariable<?>, Type> known = Types.known(type);
            names = isEvent ? Events.constructorNames(raw) : null;
            if (names != null) {
                constructor = Events.constructor(raw, names.length);
            } else if (shape.canonical != null) {
                names = shape.canonicalNames;
                constructor = shape.canonical;
            }
            if (constructor != null) {
                taken = constructor.getParameterTypes();
                Type[] types = shape.canonical != null
                        ? shape.canonicalTypes : constructor.getGenericParameterTypes();
                for (int i = 0; i < names.length; i++) {
                    inner.put(names[i], reader(Types.resolve(types[i], known)));
                }
                return;
            }
            for (Shape.Property each : shape.properties.values()) {
                if (each.setter != null || each.field != null) {
                    inner.put(each.name, reader(Types.resolve(each.type(), known)));
                }
            }
        }

        @Override
        Object read(Object json) throws IOException {
            Object value = unwrap(json, raw);
            if (value == null || (value instanceof String && ((String) value).isEmpty())) {
                return null;
            }
            if (!(value instanceof Map)) {
                throw new IOException("Cannot construct instance of `" + raw.getName() + "` (although"
                        + " at least one Creator exists): no suitable creator method found to"
                        + " deserialize from " + describe(value));
            }
            Map<String, Object> given = cast(value);
            try {
                return taken != null ? construct(given) : fill(given);
            } catch (InvocationTargetException error) {
                Throwable cause = error.getCause();
                if (cause instanceof Error) {
                    throw (Error) cause;
                }
                throw new IOException(String.valueOf(cause.getMessage()), cause);
            } catch (ReflectiveOperationException error) {
                throw new IOException(String.valueOf(error.getMessage()), error);
            }
        }

        private Object construct(Map<String, Object> given)
                throws IOException, ReflectiveOperationException {
            Object[] values = new Object[names.length];
            for (int i = 0; i < values.length; i++) {
                Object value = given.get(names[i]);
                if (value == null && isEvent) {
                    value = nothing(taken[i]);
                }
                values[i] = inner.get(names[i]).read(value);
            }
            return constructor.newInstance(values);
        }

        private Object fill(Map<String, Object> given)
                throws IOException, ReflectiveOperationException {
            Object made = create();
            for (Map.Entry<String, Object> entry : given.entrySet()) {
                Reader reader = inner.get(entry.getKey());
                if (reader == null) {
                    continue;
                }
                Shape.Property property = shape.properties.get(entry.getKey());
                Object value = reader.read(entry.getValue());
                if (property.setter != null) {
                    property.setter.invoke(made, value);
                } else if (!Modifier.isFinal(property.field.getModifiers())) {
                    property.field.set(made, value);
                }
            }
            return made;
        }

        private Object create() throws IOException, ReflectiveOperationException {
            if (constructor == null) {
                if (raw.isInterface() || Modifier.isAbstract(raw.getModifiers())) {
                    throw new IOException("Cannot construct instance of `" + raw.getName() + "` (no"
                            + " Creators, like default constructor, exist): abstract types either"
                            + " need to be mapped to concrete types, have custom deserializer, or"
                            + " contain additional type information");
                }
                try {
                    constructor = raw.getDeclaredConstructor();
                } catch (NoSuchMethodException none) {
                    throw new IOException("Cannot construct instance of `" + raw.getName() + "` (no"
                            + " Creators, like default constructor, exist): cannot deserialize from"
                            + " Object value (no delegate- or property-based Creator)");
                }
                Shape.open(constructor);
            }
            return constructor.newInstance();
        }
    }

    /** What AWS's reader of S3 events puts where a member is missing. */
    private static Object nothing(Class<?> type) {
        if (type == String.class) {
            return "";
        }
        if (type == Long.class) {
            return 0;
        }
        if (type == List.class) {
            return new ArrayList<Object>();
        }
        return type.getName().contains("S3EventNotification$")
                ? new LinkedHashMap<String, Object>() : null;
    }
}
