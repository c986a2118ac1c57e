#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define PATH "/2018-06-01/runtime/"
static char buffer[1 << 20], id[64], *body;
static int connection, count;

static void say(const char *text, size_t size) {
  while (size > 0) { ssize_t sent = write(connection, text, size); if (sent <= 0) exit(9); text += sent; size -= sent; }
}
static void listen_to_answer(void) {
  size_t filled = 0;
  for (;;) {
    ssize_t got = read(connection, buffer + filled, sizeof buffer - 1 - filled);
    if (got <= 0) exit(8);
    filled += got; buffer[filled] = 0;
    body = strstr(buffer, "\r\n\r\n");
    if (!body) continue;
    body += 4;
    char *length = strcasestr(buffer, "content-length:");
    if (!length || buffer + filled - body >= atoi(length + 15)) return;
  }
}
static void post(const char *path, const char *headers, const char *text, size_t size) {
  char head[512];
  int length = sprintf(head, "POST " PATH "%s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n", path, headers, size);
  say(head, length); say(text, size); listen_to_answer();
}
static void stream(char *path, int pieces, int fails) {
  char text[256]; int length;
  length = sprintf(text, "POST " PATH "%s HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n", path);
  say(text, length);
  for (int n = 0; n < pieces; n++) {
    char piece[32]; int size = sprintf(piece, "piece %d\n", n);
    length = sprintf(text, "%x\r\n%s\r\n", size, piece); say(text, length);
  }
  if (fails) length = sprintf(text, "0\r\nLambda-Runtime-Function-Error-Type: Function.Asked\r\n"
    "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJhc2tlZCB0byBmYWlsIn0=\r\n\r\n");
  else length = sprintf(text, "0\r\n\r\n");
  say(text, length); listen_to_answer();
}
int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = strchr(api, ':'), *init = getenv("INIT");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
  *colon = 0; inet_pton(AF_INET, api, &address.sin_addr);
  connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr *)&address, sizeof address)) return 1;
  if (init && !strcmp(init, "exit")) return 7;
  if (init) {
    const char *error = "{\"errorMessage\":\"no init\",\"errorType\":\"Function.NoInit\"}";
    post("init/error", "Lambda-Runtime-Function-Error-Type: Function.NoInit\r\n", error, strlen(error));
    return 1;
  }
  for (;;) {
    char path[128]; char *event;
    const char *next = "GET " PATH "invocation/next HTTP/1.1\r\nHost: a\r\n\r\n";
    say(next, strlen(next)); listen_to_answer();
    sscanf(strcasestr(buffer, "lambda-runtime-aws-request-id:") + 30, " %63[^\r]", id);
    sprintf(path, "invocation/%s/response", id);
    event = strdup(body); count++;
    char *asked = strstr(event, "\"do\""); char verb[16] = "echo";
    if (asked) sscanf(asked + 4, "%*[ :\"]%15[a-z]", verb);
    if (!strcmp(verb, "exit")) return 7;
    else if (!strcmp(verb, "hang")) for (;;) sleep(600);
    else if (!strcmp(verb, "hog")) for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    else if (!strcmp(verb, "fail")) {
      const char *error = "{\"errorMessage\":\"asked to fail\",\"errorType\":\"Function.Asked\"}";
      sprintf(path, "invocation/%s/error", id);
      post(path, "Lambda-Runtime-Function-Error-Type: Function.Asked\r\n", error, strlen(error));
    } else if (!strcmp(verb, "big")) {
      int size = 0; sscanf(strstr(event, "\"size\"") + 6, "%*[ :]%d", &size);
      char *text = malloc(size + 2); memset(text, 'x', size + 2); text[0] = text[size + 1] = '"';
      post(path, "", text, size + 2); free(text);
    } else if (!strcmp(verb, "stream")) {
      int pieces = 0; sscanf(strstr(event, "\"pieces\"") + 8, "%*[ :]%d", &pieces);
      stream(path, pieces, strstr(event, "\"fail\"") != NULL);
    } else if (!strcmp(verb, "count")) {
      char text[16]; int size = sprintf(text, "%d", count); post(path, "", text, size);
    } else if (!strcmp(verb, "leave")) {
      FILE *left = fopen("/tmp/left", "w"); if (left) fclose(left); post(path, "", event, strlen(event));
    } else if (!strcmp(verb, "find")) {
      const char *text = access("/tmp/left", F_OK) ? "false" : "true"; post(path, "", text, strlen(text));
    } else {
      if (!strcmp(verb, "print")) { puts("first line"); puts("second line"); }
      post(path, "", event, strlen(event));
    }
    free(event);
  }
}
