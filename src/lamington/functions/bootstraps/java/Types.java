package lamington.runtime;

import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Generic types with their variables replaced by what they stand for. */
final class Types {
    private Types() {}

    /** A parameterized type of our own making. */
    static final class Applied implements ParameterizedType {
        private final Class<?> raw;
        private final Type[] given;

        Applied(Class<?> raw, Type... given) {
            this.raw = raw;
            this.given = given;
        }

        @Override
        public Type[] getActualTypeArguments() {
            return given;
        }

        @Override
        public Type getRawType() {
            return raw;
        }

        @Override
        public Type getOwnerType() {
            return null;
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Applied
                    && raw == ((Applied) other).raw
                    && Arrays.equals(given, ((Applied) other).given);
        }

        @Override
        public int hashCode() {
            return raw.hashCode() * 31 + Arrays.hashCode(given);
        }
    }

    static Class<?> raw(Type type) {
        if (type instanceof Class) {
            return (Class<?>) type;
        }
        if (type instanceof ParameterizedType) {
            return (Class<?>) ((ParameterizedType) type).getRawType();
        }
        if (type instanceof GenericArrayType) {
            Class<?> element = raw(((GenericArrayType) type).getGenericComponentType());
            return java.lang.reflect.Array.newInstance(element, 0).getClass();
        }
        if (type instanceof TypeVariable) {
            return raw(((TypeVariable<?>) type).getBounds()[0]);
        }
        return raw(((WildcardType) type).getUpperBounds()[0]);
    }

    /** A type without variables: what is not known becomes its bound. */
    static Type resolve(Type type, Map<TypeVariable<?>, Type> known) {
        if (type instanceof Class) {
            return type;
        }
        if (type instanceof TypeVariable) {
            Type found = known.get(type);
            if (found != null) {
                return found;
            }
            Type bound = ((TypeVariable<?>) type).getBounds()[0];
            return bound instanceof Class ? bound : raw(bound);
        }
        if (type instanceof ParameterizedType) {
            Type[] given = ((ParameterizedType) type).getActualTypeArguments();
            Type[] resolved = new Type[given.length];
            for (int i = 0; i < given.length; i++) {
                resolved[i] = resolve(given[i], known);
            }
            return new Applied(raw(type), resolved);
        }
        if (type instanceof WildcardType) {
            return resolve(((WildcardType) type).getUpperBounds()[0], known);
        }
        final Type element = resolve(((GenericArrayType) type).getGenericComponentType(), known);
        return java.lang.reflect.Array.newInstance(raw(element), 0).getClass();
    }

    /** What the variables of a type, its superclasses and interfaces stand for. */
    static Map<TypeVariable<?>, Type> known(Type type) {
        Map<TypeVariable<?>, Type> known = new HashMap<TypeVariable<?>, Type>();
        add(type, known);
        return known;
    }

    private static void add(Type type, Map<TypeVariable<?>, Type> known) {
        if (type == null || type == Object.class) {
            return;
        }
        Class<?> raw = raw(type);
        if (type instanceof ParameterizedType) {
            Type[] given = ((ParameterizedType) type).getActualTypeArguments();
            TypeVariable<?>[] variables = raw.getTypeParameters();
            for (int i = 0; i < variables.length && i < given.length; i++) {
                Type meant = given[i];
                // What nobody says stays a variable: its bound is what is known of it.
                boolean open = meant instanceof TypeVariable && !known.containsKey(meant);
                known.put(variables[i], open ? meant : resolve(meant, known));
            }
        }
        add(raw.getGenericSuperclass(), known);
        for (Type each : raw.getGenericInterfaces()) {
            add(each, known);
        }
    }

    /** What a class gives for the parameters of a type above it; Object where it gives nothing. */
    static Type[] arguments(Type type, Class<?> above) {
        TypeVariable<?>[] variables = above.getTypeParameters();
        Type[] given = new Type[variables.length];
        Map<TypeVariable<?>, Type> known = known(type);
        for (int i = 0; i < given.length; i++) {
            Type found = known.get(variables[i]);
            given[i] = found == null ? Object.class : found;
        }
        return given;
    }
}
