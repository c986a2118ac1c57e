package lamington.runtime;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;

/**
 * A function that does what functions do: it runs once, and the classes that it made the JVM load are
 * archived, so that later starts need not read and check them. A process that is started ahead of need
 * warms up by the same.
 */
public final class Rehearsal {
    /** Stands for AWS's context: making the first proxy loads what makes proxies. */
    public interface Asked {
        String answer();
    }

    private String name;
    private List<Integer> sizes;

    public String getName() {
        return name;
    }

    public void setName(String name) {
        this.name = name;
    }

    public List<Integer> getSizes() {
        return sizes;
    }

    public void setSizes(List<Integer> sizes) {
        this.sizes = sizes;
    }

    public Rehearsal handle(Rehearsal event) throws Exception {
        System.out.println("rehearsed");
        warmUp(Thread.currentThread().getContextClassLoader());
        return event;
    }

    /** Do once what most functions will do: make a proxy, read and write JSON, miss a class, fail. */
    static void warmUp(ClassLoader loader) throws Exception {
        Asked asked = (Asked) Proxy.newProxyInstance(
                Asked.class.getClassLoader(),
                new Class<?>[] {Asked.class},
                new InvocationHandler() {
                    @Override
                    public Object invoke(Object proxy, Method method, Object[] arguments) {
                        return method.getName();
                    }
                });
        asked.answer();
        byte[] text = Bootstrap.utf8("{\"a\": [1, 2.5, \"\\u00e4\", true, null], \"b\": {}}");
        Map<?, ?> json = (Map<?, ?>) Json.parse(text, 0, text.length, true);
        Binder binder = new Binder(loader);
        new Writer(binder).write(binder.reader(Map.class).read(json), new Buffer());
        byte[] own = Bootstrap.utf8("{\"name\": \"warm\", \"sizes\": [1]}");
        Object made = binder.reader(Rehearsal.class).read(Json.parse(own, 0, own.length, true));
        new Writer(binder).writeRoot(made, Rehearsal.class, new Buffer());
        Fault.of(new IllegalStateException("rehearsed"), false).report();
        try {
            Class.forName("absent.Name", true, loader);
        } catch (ClassNotFoundException expected) {
            Fault.traceOf(expected);
        }
    }
}
