package example;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.Date;
import java.util.List;
import java.util.Map;

/** A class of the kind that functions take and give: setters, fields, nested types, generics. */
public class Order {
    public enum Size { SMALL, LARGE }

    public static class Line {
        private String name;
        private int count;
        private Integer spare;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getCount() {
            return count;
        }

        void setCount(int count) {
            this.count = count;
        }

        public Integer getSpare() {
            return spare;
        }
    }

    public static class Page<T> {
        private List<T> items;

        public List<T> getItems() {
            return items;
        }

        public void setItems(List<T> items) {
            this.items = items;
        }
    }

    public long id;
    public double weight;
    public BigDecimal price;
    public boolean paid;
    public Size size;
    public Date at;
    public byte[] picture;
    public ByteBuffer bytes;
    public int[] numbers;
    public Page<Line> page;
    public Map<String, Line> byName;
    public Object free;
    private String URL;
    private String secret = "not set";

    public String getURL() {
        return URL;
    }

    public void setURL(String URL) {
        this.URL = URL;
    }

    public boolean isPaidTwice() {
        return false;
    }
}
