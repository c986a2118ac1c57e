package example;

import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;

/** Types that are seldom in events, and still can be. */
public class Rare {
    public Instant instant;
    public Duration lasts;
    public LocalDate day;
    public LocalDateTime local;
    public UUID uuid;
    public URI uri;
    public Set<Order.Size> sizes;
    public TreeMap<Order.Size, Integer> bySize;
    public Map<Integer, String> byNumber;
    public Optional<String> maybe;
    public char letter;
    public Character other;
    public Boolean flag;
    public Short small;
    public float real;
    public List<? extends Number> wild;
    public String[][] grid;
    public Long one;
    public List<String> many;
    public Order.Line line;

    public static class Handler {
        public Rare handle(Rare rare) {
            return rare;
        }
    }
}
