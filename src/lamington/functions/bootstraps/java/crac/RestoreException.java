package lamington.runtime.crac;

/** Hooks after a restore have failed; what they threw is suppressed in it. */
public class RestoreException extends Exception {
    private static final long serialVersionUID = 1;
}
