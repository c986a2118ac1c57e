package lamington.runtime.crac;

/** Wants to know of a snapshot and of each restore; `org.crac` wraps what functions register in it. */
public interface Resource {
    void beforeCheckpoint(Context<? extends Resource> context) throws Exception;

    void afterRestore(Context<? extends Resource> context) throws Exception;
}
