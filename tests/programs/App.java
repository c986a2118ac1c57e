import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

public class App {
    private static int count = 0;
    static {
        String init = System.getenv("INIT");
        if ("fail".equals(init)) throw new IllegalStateException("no init");
        if ("exit".equals(init)) Runtime.getRuntime().halt(7);
    }

    public Object handler(Map<String, Object> event) throws Exception {
        count += 1;
        switch (String.valueOf(event.get("do"))) {
            case "fail": throw new IllegalArgumentException("asked to fail");
            case "exit": Runtime.getRuntime().halt(7); break;
            case "hang": Thread.sleep(600000); break;
            case "hog": {
                List<byte[]> held = new ArrayList<>();
                while (true) held.add(new byte[1 << 20]);
            }
            case "big": {
                StringBuilder text = new StringBuilder();
                int size = ((Number) event.get("size")).intValue();
                for (int n = 0; n < size; n++) text.append('x');
                return text.toString();
            }
            case "print": System.out.println("first line"); System.out.println("second line"); break;
            case "count": return count;
            case "leave": new File("/tmp/left").createNewFile(); break;
            case "find": return new File("/tmp/left").exists();
        }
        return event;
    }
}
