package lamington.runtime.crac;

import java.util.ArrayList;
import java.util.List;
import java.util.WeakHashMap;

/**
 * Where functions register their SnapStart hooks: the property {@code org.crac.Core.Compat} leads the
 * archive's `org.crac` here.
 *
 * <p>AWS: hooks run before the snapshot in the reverse order of registration, after a restore in that
 * order; resources are held weakly; one failure does not keep the others from running.
 */
public final class Core {
    private static final Hooks HOOKS = new Hooks();

    private Core() {}

    public static Context<Resource> getGlobalContext() {
        return HOOKS;
    }

    public static void checkpointRestore() {
        throw new UnsupportedOperationException();
    }

    private static final class Hooks extends Context<Resource> {
        private final WeakHashMap<Resource, Integer> registered = new WeakHashMap<Resource, Integer>();
        private int count;

        @Override
        public synchronized void register(Resource resource) {
            registered.put(resource, count++);
        }

        private List<Resource> inOrder() {
            Resource[] slots = new Resource[count];
            for (java.util.Map.Entry<Resource, Integer> entry : registered.entrySet()) {
                slots[entry.getValue()] = entry.getKey();
            }
            List<Resource> all = new ArrayList<Resource>();
            for (Resource each : slots) {
                if (each != null) {
                    all.add(each);
                }
            }
            return all;
        }

        @Override
        public synchronized void beforeCheckpoint(Context<? extends Resource> context)
                throws CheckpointException {
            CheckpointException failure = new CheckpointException();
            List<Resource> all = inOrder();
            for (int i = all.size() - 1; i >= 0; i--) {
                try {
                    all.get(i).beforeCheckpoint(this);
                } catch (Exception error) {
                    add(failure, error);
                }
            }
            if (failure.getSuppressed().length > 0) {
                throw failure;
            }
        }

        @Override
        public synchronized void afterRestore(Context<? extends Resource> context)
                throws RestoreException {
            RestoreException failure = new RestoreException();
            for (Resource each : inOrder()) {
                try {
                    each.afterRestore(this);
                } catch (Exception error) {
                    add(failure, error);
                }
            }
            if (failure.getSuppressed().length > 0) {
                throw failure;
            }
        }

        private static void add(Exception failure, Exception error) {
            if (error instanceof CheckpointException || error instanceof RestoreException) {
                for (Throwable each : error.getSuppressed()) {
                    failure.addSuppressed(each);
                }
            } else {
                failure.addSuppressed(error);
            }
        }
    }
}
