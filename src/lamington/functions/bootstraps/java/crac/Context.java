package lamington.runtime.crac;

/** Holds resources; the shape is the one that `org.crac` looks for. */
public abstract class Context<R extends Resource> implements Resource {
    public abstract void register(R resource);
}
