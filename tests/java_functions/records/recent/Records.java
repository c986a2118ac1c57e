package recent;

import java.util.List;
import java.util.Optional;

/** Compiled where the JDK has records. */
public class Records {
    public record Point(int x, int y) {}

    public record Path(String name, List<Point> points, Optional<String> note) {}

    public Path handle(Path path) {
        return path;
    }
}
