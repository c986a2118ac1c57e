package com.amazonaws.services.lambda.runtime;

public interface CustomPojoSerializer {
    <T> T fromJson(java.io.InputStream input, java.lang.reflect.Type type);
    <T> T fromJson(String input, java.lang.reflect.Type type);
    <T> void toJson(T value, java.io.OutputStream output, java.lang.reflect.Type type);
}
