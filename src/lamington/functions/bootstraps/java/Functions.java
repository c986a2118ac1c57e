package lamington.runtime;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * The function's code: its class path, and its handler as something that answers events.
 *
 * <p>AWS: the class path is the task root, then its `lib/*.jar`, then `/opt/java/lib/*.jar`, each sorted.
 */
final class Functions {
    /** A handler that was found. */
    interface Entry {
        void call(Channel event, Buffer reply) throws Throwable;
    }

    final ClassLoader loader;
    private final AwsTypes aws;

    Functions(String taskRoot, String layersRoot, Logs logs) throws IOException {
        List<URL> path = new ArrayList<URL>();
        path.add(new URL("file", null, -1, taskRoot + "/"));
        addJars(new File(taskRoot, "lib"), path);
        addJars(new File(layersRoot, "java/lib"), path);
        loader = new URLClassLoader(path.toArray(new URL[0]), ClassLoader.getSystemClassLoader());
        aws = new AwsTypes(loader, logs);
    }

    private static void addJars(File directory, List<URL> path) throws IOException {
        String[] names = directory.list();
        if (names == null) {
            return;
        }
        Arrays.sort(names);
        for (String name : names) {
            if (name.endsWith(".jar")) {
                path.add(new URL("file", null, -1, directory.getPath() + "/" + name));
            }
        }
    }

    /**
     * Find the handler; raises a fault that ends the init phase.
     *
     * <p>AWS: most of what can be wrong is reported by the first invocation instead: a class or a
     * method that is not there is the invocation's failure, a constructor that throws is the init's.
     */
    Entry load(String handler) {
        String name = handler == null ? "" : handler;
        int colons = name.lastIndexOf("::");
        String className = colons < 0 ? name : name.substring(0, colons);
        String method = colons < 0 ? null : name.substring(colons + 2);
        if (className.isEmpty() || (method != null && method.isEmpty())) {
            return failing(Fault.of("Invalid handler: `" + name + "'"));
        }
        Class<?> type;
        try {
            aws.prepare();
            type = Class.forName(className, true, loader);
        } catch (ClassNotFoundException error) {
            return failing(new Fault("Class not found: " + className, error.getClass().getName(),
                    Fault.traceOf(error), false));
        } catch (NoClassDefFoundError error) {
            return failing(notLoaded(error, className));
        } catch (Throwable error) {
            throw notLoaded(error, className);
        }
        try {
            return method == null ? byInterface(type) : byMethod(type, method);
        } catch (Fault fault) {
            if (fault.fatal) {
                throw fault;
            }
            return failing(fault);
        } catch (Throwable error) {
            return failing(Fault.of(error, false));
        }
    }

    private static Fault notLoaded(Throwable error, String className) {
        String message = error.getMessage() == null ? "" : ": " + error.getMessage();
        if (message.contains("com/amazonaws/services/lambda/runtime/")) {
            System.err.println("Lamington: the archive must hold aws-lambda-java-core, in lib/ or"
                    + " unpacked; the runtime here does not bring it along.");
        }
        return new Fault("Error loading class " + className + message, error.getClass().getName(),
                Fault.traceOf(error), true);
    }

    private static Entry failing(final Fault fault) {
        return new Entry() {
            @Override
            public void call(Channel event, Buffer reply) {
                throw fault;
            }
        };
    }

    // By interface

    private Entry byInterface(Class<?> type) throws Exception {
        if (aws.streamHandler != null && aws.streamHandler.isAssignableFrom(type)) {
            Method method = aws.streamHandler.getMethod(
                    "handleRequest", InputStream.class, OutputStream.class, aws.context);
            Fault.hidesReflection = true;
            return new Streaming(create(type), method, true, true, true);
        }
        if (aws.handler != null && aws.handler.isAssignableFrom(type)) {
            Type[] types = handlerTypes(type);
            Method method = aws.handler.getMethod("handleRequest", Object.class, aws.context);
            Fault.hidesReflection = true;
            return new Binding(create(type), method, types[0], types[1], true);
        }
        throw Fault.of("Class does not implement an appropriate handler interface: " + type.getName());
    }

    private Type[] handlerTypes(Class<?> type) {
        TypeVariable<?>[] variables = aws.handler.getTypeParameters();
        java.util.Map<TypeVariable<?>, Type> known = Types.known(type);
        Type[] types = new Type[2];
        for (int i = 0; i < 2; i++) {
            Type found = known.get(variables[i]);
            if (found == null) {
                throw Fault.of("Class " + type.getName()
                        + " does not implement RequestHandler with concrete type parameters");
            }
            if (found instanceof TypeVariable && Types.raw(found) == Object.class) {
                throw Fault.of("Class " + type.getName()
                        + " does not implement RequestHandler with concrete type parameters: parameter "
                        + found + " has no upper bound.");
            }
            types[i] = Types.resolve(found, known);
        }
        return types;
    }

    private static Object create(Class<?> type) throws Exception {
        Constructor<?> constructor;
        try {
            constructor = type.getConstructor();
        } catch (NoSuchMethodException error) {
            if (type.getEnclosingClass() != null && !Modifier.isStatic(type.getModifiers())) {
                throw new Exception("Class " + type.getName()
                        + " cannot be instantiated because it is a non-static inner class");
            }
            throw new Exception(
                    "Class " + type.getName() + " has no public zero-argument constructor", error);
        }
        try {
            return constructor.newInstance();
        } catch (InvocationTargetException error) {
            throw Fault.of(error.getCause() == null ? error : error.getCause(), true);
        }
    }

    // By method

    private Entry byMethod(Class<?> type, String name) throws Exception {
        Method[] all;
        try {
            all = type.getMethods();
        } catch (NoClassDefFoundError error) {
            throw new Fault("Error loading method " + name + " on class " + type.getName(),
                    error.getClass().getName(), Fault.traceOf(error), false);
        }
        List<Method> named = new ArrayList<Method>();
        for (Method each : all) {
            if (each.getName().equals(name)) {
                named.add(each);
            }
        }
        // Bridges last, then the longest signature, where a context counts twice.
        java.util.Collections.sort(named, new Comparator<Method>() {
            @Override
            public int compare(Method one, Method other) {
                if (one.isBridge() != other.isBridge()) {
                    return one.isBridge() ? 1 : -1;
                }
                return weight(other) - weight(one);
            }
        });
        for (Method each : named) {
            Entry entry = entry(type, each);
            if (entry != null) {
                return entry;
            }
        }
        throw Fault.of("No public method named " + name
                + " with appropriate method signature found on class " + type.getName());
    }

    private int weight(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return types.length + (types.length > 0 && isContext(types[types.length - 1]) ? 1 : 0);
    }

    private boolean isContext(Class<?> type) {
        return aws.context != null && type == aws.context;
    }

    private Entry entry(Class<?> owner, Method method) throws Exception {
        Type[] types = method.getGenericParameterTypes();
        Class<?>[] raw = method.getParameterTypes();
        int count = raw.length;
        if (count > 3) {
            return ignored("Ignoring an overload of method " + method.getName() + " because it has too"
                    + " many parameters: Expected at most 3, got " + count);
        }
        boolean in = count > 0 && raw[0] == InputStream.class;
        if (count == 3) {
            if (in && raw[1] == OutputStream.class && isContext(raw[2])) {
                return stream(owner, method, true, true, true);
            }
            return ignored("Ignoring three-argument overload because argument signature is not"
                    + " (InputStream, OutputStream, Context");
        }
        boolean out = count > 0 && raw[0] == OutputStream.class;
        if (count == 2) {
            return entryOfTwo(owner, method, in, out);
        }
        if (in || out) {
            return stream(owner, method, in, out, false);
        }
        boolean context = count == 1 && isContext(raw[0]);
        return pojo(owner, method, count == 1 && !context ? types[0] : null, context);
    }

    private Entry entryOfTwo(Class<?> owner, Method method, boolean in, boolean out)
            throws Exception {
        Class<?>[] raw = method.getParameterTypes();
        boolean context = isContext(raw[1]);
        if (out) {
            return context ? stream(owner, method, false, true, true) : ignored("Ignoring two-argument"
                    + " overload because first argument type is OutputStream and second argument type"
                    + " is not Context");
        }
        if (isContext(raw[0])) {
            return ignored("Ignoring two-argument overload because first argument type is Context");
        }
        if (in) {
            if (raw[1] == OutputStream.class) {
                return stream(owner, method, true, true, false);
            }
            return context ? stream(owner, method, true, false, true) : ignored("Ignoring two-argument"
                    + " overload because second parameter type, " + raw[1].getName()
                    + ", is not OutputStream.");
        }
        return context ? pojo(owner, method, method.getGenericParameterTypes()[0], true)
                : ignored("Ignoring two-argument overload because second parameter type is not Context");
    }

    private static Entry ignored(String why) {
        System.err.println(why);
        return null;
    }

    private Entry pojo(Class<?> owner, Method method, Type input, boolean context) throws Exception {
        Object instance = Modifier.isStatic(method.getModifiers()) ? null : create(owner);
        java.util.Map<TypeVariable<?>, Type> known = Types.known(owner);
        return new Binding(instance, method, input == null ? null : Types.resolve(input, known),
                Types.resolve(method.getGenericReturnType(), known), context);
    }

    private Entry stream(Class<?> owner, Method method, boolean in, boolean out, boolean context)
            throws Exception {
        if (method.getReturnType() != void.class) {
            System.err.println("Will ignore return type " + method.getReturnType()
                    + " on byte stream handler");
        }
        Object instance = Modifier.isStatic(method.getModifiers()) ? null : create(owner);
        return new Streaming(instance, method, in, out, context);
    }

    // Calls

    private static Object invoke(Method method, Object instance, Object[] arguments) throws Throwable {
        try {
            return method.invoke(instance, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause() == null ? error : error.getCause();
        }
    }

    /** A handler that takes and gives values. */
    private final class Binding implements Entry {
        private final Object instance;
        private final Method method;
        private final boolean wantsEvent;
        private final boolean wantsContext;
        private final boolean isVoid;
        private final boolean isUntyped;
        private final Class<?> declared;
        private final Type inputType;
        private final Type outputType;
        private Binder.Reader reader;
        private Writer writer;
        private AwsTypes.CustomJson custom;

        Binding(Object instance, Method method, Type input, Type output, boolean context)
                throws Exception {
            this.instance = instance;
            this.method = method;
            wantsContext = context;
            // An interface's method has an event in its signature, whatever the class makes of it.
            wantsEvent = input != null;
            isVoid = output == void.class || output == Void.class;
            declared = Types.raw(output);
            inputType = input;
            outputType = output;
            custom = aws.customJson();
            boolean untyped = false;
            if (custom == null) {
                if (input != null) {
                    Class<?> raw = Types.raw(input);
                    untyped = raw == Object.class || input == java.util.Map.class
                            || input == java.util.List.class
                            || (input instanceof java.lang.reflect.ParameterizedType
                                    && raw == java.util.Map.class
                                    && Types.arguments(input, raw)[0] == String.class
                                    && Types.arguments(input, raw)[1] == Object.class);
                    // The binder of events knows their names: it is the event's alone.
                    reader = binder(raw).reader(input);
                }
                writer = new Writer(binder(declared));
            }
            isUntyped = untyped;
        }

        private Binder binder(Class<?> type) {
            return new Binder(loader, Events.isKnown(type.getName()));
        }

        @Override
        public void call(Channel event, Buffer reply) throws Throwable {
            Object context = aws.begin(event, wantsContext);
            Object[] arguments = new Object[(wantsEvent ? 1 : 0) + (wantsContext ? 1 : 0)];
            if (wantsEvent) {
                arguments[0] = read(event);
            }
            if (wantsContext) {
                arguments[arguments.length - 1] = context;
            }
            Object result = invoke(method, instance, arguments);
            try {
                if (isVoid) {
                    reply.ascii("null");
                } else if (custom != null) {
                    custom.write(result, reply, outputType);
                } else {
                    writer.writeRoot(result, declared, reply);
                }
            } catch (VirtualMachineError error) {
                if (!(error instanceof StackOverflowError)) {
                    throw error;
                }
                throw unwritten(error);
            } catch (Throwable error) {
                throw unwritten(error);
            }
        }

        private RuntimeException unwritten(Throwable error) {
            return new RuntimeException(
                    "An error occurred during JSON serialization of response", wrapped(error));
        }

        private Object read(Channel event) {
            try {
                if (custom != null) {
                    return custom.read(body(event), inputType);
                }
                if (isUntyped) {
                    Object json = event.parseBody(false);
                    return inputMatches(json) ? json : reader.read(json);
                }
                return reader.read(event.parseBody(true));
            } catch (Throwable error) {
                throw new RuntimeException("An error occurred during JSON parsing", wrapped(error));
            }
        }

        private boolean inputMatches(Object json) {
            return json == null || Types.raw(inputType).isInstance(json);
        }

        private Throwable wrapped(Throwable error) {
            return error instanceof IOException
                    ? new java.io.UncheckedIOException((IOException) error) : error;
        }
    }

    private static InputStream body(Channel event) {
        return new ByteArrayInputStream(
                Arrays.copyOfRange(event.data, event.bodyFrom, event.bodyTo));
    }

    /** A handler that reads and writes bytes itself. */
    private final class Streaming implements Entry {
        private final Object instance;
        private final Method method;
        private final boolean in;
        private final boolean out;
        private final boolean wantsContext;

        Streaming(Object instance, Method method, boolean in, boolean out, boolean wantsContext) {
            this.instance = instance;
            this.method = method;
            this.in = in;
            this.out = out;
            this.wantsContext = wantsContext;
        }

        @Override
        public void call(Channel event, Buffer reply) throws Throwable {
            Object context = aws.begin(event, wantsContext);
            Object[] arguments = new Object[(in ? 1 : 0) + (out ? 1 : 0) + (wantsContext ? 1 : 0)];
            int at = 0;
            if (in) {
                arguments[at++] = body(event);
            }
            if (out) {
                arguments[at++] = reply;
            }
            if (wantsContext) {
                arguments[at] = context;
            }
            invoke(method, instance, arguments);
            if (!out) {
                reply.ascii("null");
            }
        }
    }
}
