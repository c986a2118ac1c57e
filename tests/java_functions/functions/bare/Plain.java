package bare;

import java.util.Map;

/** A function that knows nothing of AWS. */
public class Plain {
    public Map<String, Object> handle(Map<String, Object> event) {
        event.put("seen", event.size());
        return event;
    }
}
