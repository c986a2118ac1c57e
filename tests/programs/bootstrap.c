/* A runtime for `provided`, in nothing but C and sockets. It echoes its event; events that contain
   one of these words do something else: "fail", "exit", "abort", "stream", "late" (a stream that
   fails), "cut" (a stream that ends in its midst), "large" (7,000,000 bytes), "twice" (answers
   twice, and returns the status of the second). An environment variable BREAK_INIT makes the init
   fail. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static int api;
static char received[8 << 20];
static char *body;
static size_t body_length;
static char request_id[128];

static void send_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = write(api, bytes, length);
        if (sent <= 0) exit(70);
        bytes += sent;
        length -= sent;
    }
}

static void send_text(const char *text) { send_all(text, strlen(text)); }

static void connect_api(void) {
    char host[64];
    int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    const char *colon = strchr(address, ':');
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    inet_pton(AF_INET, host, &to.sin_addr);
    to.sin_port = htons(atoi(colon + 1));
    api = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(api, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(api, (struct sockaddr *)&to, sizeof to) != 0) exit(71);
}

static int read_answer(void) {
    size_t filled = 0, length = 0;
    char *end = NULL, *line;
    while (end == NULL) {
        ssize_t got = read(api, received + filled, sizeof received - 1 - filled);
        if (got <= 0) exit(72);
        filled += got;
        received[filled] = 0;
        end = strstr(received, "\r\n\r\n");
    }
    for (line = received; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "content-length:", 15) == 0) length = strtoul(line + 15, NULL, 10);
        if (strncasecmp(line, "lambda-runtime-aws-request-id:", 30) == 0)
            sscanf(line + 30, " %127[^\r]", request_id);
    }
    body = end + 4;
    body_length = length;
    while (filled < (size_t)(body - received) + length) {
        ssize_t got = read(api, received + filled, sizeof received - 1 - filled);
        if (got <= 0) exit(73);
        filled += got;
    }
    body[length] = 0;
    return atoi(received + 9);
}

static int post(const char *path, const char *fields, const char *bytes, size_t length) {
    char head[512];
    snprintf(head, sizeof head, "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: api\r\n%s"
             "Content-Length: %zu\r\n\r\n", path, fields, length);
    send_text(head);
    send_all(bytes, length);
    return read_answer();
}

static int post_outcome(const char *kind, const char *bytes, size_t length) {
    char path[256];
    snprintf(path, sizeof path, "invocation/%s/%s", request_id, kind);
    return post(path, "", bytes, length);
}

static void stream(const char *event) {
    char head[512];
    snprintf(head, sizeof head, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\n"
             "Host: api\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
             "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
             "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
             "\r\n", request_id);
    send_text(head);
    send_text("4\r\none \r\n");
    usleep(20000);
    send_text("3\r\ntwo\r\n");
    if (strstr(event, "cut")) exit(3);
    send_text("0\r\n");
    if (strstr(event, "late"))  /* {"errorType":"Late"} */
        send_text("Lambda-Runtime-Function-Error-Type: Function.Late\r\n"
                  "Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJMYXRlIn0=\r\n");
    send_text("\r\n");
    read_answer();
}

int main(void) {
    const char *failure = "{\"errorMessage\":\"asked to\",\"errorType\":\"Asked\"}";
    connect_api();
    if (getenv("BREAK_INIT")) {
        post("init/error", "Lambda-Runtime-Function-Error-Type: Runtime.BrokenInit\r\n", failure,
             strlen(failure));
        return 1;
    }
    for (;;) {
        char *event;
        send_text("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n");
        if (read_answer() != 200) return 74;
        event = body;
        if (strstr(event, "fail")) {
            post_outcome("error", failure, strlen(failure));
        } else if (strstr(event, "exit")) {
            return 9;
        } else if (strstr(event, "abort")) {
            abort();
        } else if (strstr(event, "stream") || strstr(event, "late") || strstr(event, "cut")) {
            stream(event);
        } else if (strstr(event, "large")) {
            char *large = malloc(7000000);
            memset(large, 'x', 7000000);
            post_outcome("response", large, 7000000);
            free(large);
        } else if (strstr(event, "twice")) {
            post_outcome("response", "1", 1);
            printf("%d\n", post_outcome("response", "2", 1));
            fflush(stdout);
        } else {
            char *copy = malloc(body_length);
            size_t length = body_length;
            memcpy(copy, event, length);
            post_outcome("response", copy, length);
            free(copy);
        }
    }
}
