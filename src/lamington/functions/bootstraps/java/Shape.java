package lamington.runtime;

import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Member;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The properties of a class by the rules of AWS's mapper: public getters and fields, any setter.
 *
 * <p>AWS: Jackson with standard bean naming, without annotations (the mapper's are shaded, so those of
 * the function are strangers to it) and without creators.
 */
final class Shape {
    /** One property; what it lacks is null. */
    static final class Property {
        final String name;
        Field field;
        Method getter;
        Method setter;
        byte[] label;

        Property(String name) {
            this.name = name;
        }

        boolean isReadable() {
            return getter != null || field != null;
        }

        Object get(Object owner) throws ReflectiveOperationException {
            return getter != null ? getter.invoke(owner) : field.get(owner);
        }

        Type type() {
            return setter != null ? setter.getGenericParameterTypes()[0] : field.getGenericType();
        }
    }

    final Class<?> type;
    final Map<String, Property> properties = new LinkedHashMap<String, Property>();
    /** The readable ones, in the order of the JSON text. */
    final Property[] written;
    /** The constructor that takes all values of a record, else null; and what it takes. */
    Constructor<?> canonical;
    String[] canonicalNames;
    Type[] canonicalTypes;

    private final boolean isEvent;

    Shape(Class<?> type, boolean isEvent) {
        this.type = type;
        this.isEvent = isEvent;
        if (!readRecord()) {
            List<Class<?>> line = new ArrayList<Class<?>>();
            for (Class<?> at = type; at != null && at != Object.class; at = at.getSuperclass()) {
                line.add(0, at);
            }
            // The order of fields is the order of the text, also where getters stand for them.
            for (Class<?> at : line) {
                addFields(at);
            }
            for (Class<?> at : line) {
                addMethods(at.getDeclaredMethods());
            }
            if (type.isInterface()) {
                addMethods(type.getMethods());
            }
        }
        List<Property> readable = new ArrayList<Property>();
        for (Property each : properties.values()) {
            if (each.isReadable()) {
                Buffer label = new Buffer();
                Json.writeString(each.name, label);
                label.write(':');
                each.label = java.util.Arrays.copyOfRange(label.bytes, Buffer.HEADER_BYTES, label.size);
                readable.add(each);
            }
        }
        written = readable.toArray(new Property[0]);
    }

    private Property property(Class<?> owner, String name) {
        String key = isEvent ? Events.rename(owner, name) : name;
        Property found = properties.get(key);
        if (found == null) {
            found = new Property(key);
            properties.put(key, found);
        }
        return found;
    }

    private void addFields(Class<?> owner) {
        for (Field field : owner.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) || field.isSynthetic()) {
                continue;
            }
            Property property = property(owner, field.getName());
            if (isPublic(field) && !Modifier.isTransient(field.getModifiers())) {
                open(field);
                property.field = field;
            }
        }
    }

    private void addMethods(Method[] methods) {
        for (Method method : methods) {
            if (Modifier.isStatic(method.getModifiers()) || method.isBridge() || method.isSynthetic()) {
                continue;
            }
            Class<?> owner = method.getDeclaringClass();
            String name = method.getName();
            int count = method.getParameterTypes().length;
            if (count == 1 && name.startsWith("set") && name.length() > 3) {
                addSetter(property(owner, decapitalize(name.substring(3))), method);
            } else if (count == 0 && isPublic(method) && method.getReturnType() != void.class) {
                Class<?> result = method.getReturnType();
                boolean isFlag = result == boolean.class || result == Boolean.class;
                if (name.startsWith("get") && name.length() > 3 && owner != Object.class) {
                    open(method);
                    property(owner, decapitalize(name.substring(3))).getter = method;
                } else if (name.startsWith("is") && name.length() > 2 && isFlag) {
                    Property property = property(owner, decapitalize(name.substring(2)));
                    open(method);
                    if (property.getter == null || property.getter.getName().startsWith("is")) {
                        property.getter = method;
                    }
                }
            }
        }
    }

    /** Of several setters the one for a text or a number is meant, else that of the subclass. */
    private static void addSetter(Property property, Method method) {
        Method before = property.setter;
        if (before != null && before.getDeclaringClass() == method.getDeclaringClass()) {
            if (!isScalar(method.getParameterTypes()[0]) || isScalar(before.getParameterTypes()[0])) {
                return;
            }
        }
        open(method);
        property.setter = method;
    }

    private static boolean isScalar(Class<?> type) {
        return type == String.class || type.isPrimitive() || Number.class.isAssignableFrom(type);
    }

    /** Records came with Java 16; this file is for Java 8. */
    private boolean readRecord() {
        Class<?> above = type.getSuperclass();
        if (above == null || !above.getName().equals("java.lang.Record")) {
            return false;
        }
        try {
            Object[] components = (Object[]) Class.class.getMethod("getRecordComponents").invoke(type);
            Class<?>[] types = new Class<?>[components.length];
            canonicalNames = new String[components.length];
            canonicalTypes = new Type[components.length];
            for (int i = 0; i < components.length; i++) {
                Class<?> kind = components[i].getClass();
                canonicalNames[i] = (String) kind.getMethod("getName").invoke(components[i]);
                canonicalTypes[i] = (Type) kind.getMethod("getGenericType").invoke(components[i]);
                types[i] = (Class<?>) kind.getMethod("getType").invoke(components[i]);
                Property property = property(type, canonicalNames[i]);
                property.getter = (Method) kind.getMethod("getAccessor").invoke(components[i]);
                open(property.getter);
            }
            canonical = type.getDeclaredConstructor(types);
            open(canonical);
            return true;
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static boolean isPublic(Member member) {
        return Modifier.isPublic(member.getModifiers());
    }

    /** Make a member of a class that is not public usable, where the module system lets us. */
    static void open(AccessibleObject member) {
        try {
            member.setAccessible(true);
        } catch (RuntimeException refused) {
            // A class of the JDK: its public members work without.
        }
    }

    /** AWS: standard bean naming, so `getURL` is `URL`. */
    static String decapitalize(String name) {
        if (name.length() > 1
                && Character.isUpperCase(name.charAt(0))
                && Character.isUpperCase(name.charAt(1))) {
            return name;
        }
        return Character.toLowerCase(name.charAt(0)) + name.substring(1);
    }
}
