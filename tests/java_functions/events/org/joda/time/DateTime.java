package org.joda.time;

public class DateTime {
    private final String text;

    private DateTime(String text) {
        this.text = text;
    }

    public static DateTime parse(String text) {
        return new DateTime(text);
    }

    @Override
    public String toString() {
        return text;
    }
}
