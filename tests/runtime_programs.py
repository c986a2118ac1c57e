"""One function written for each runtime, which does what its event asks for.

`{"do": "echo"}` answers the event, `fail` raises, `exit` ends the process with status 7, `hang`
never answers, `hog` takes memory without end, `big` answers `{"size": N}` bytes, `print` writes two
lines, `count` counts its own invocations, `leave` and `find` write and look for a file in /tmp.
With the variable INIT it fails while it is loaded (`fail`), or ends (`exit`).
"""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

PYTHON = """
import json, os, time
if os.environ.get('INIT') == 'fail':
    raise ValueError('no init')
if os.environ.get('INIT') == 'exit':
    os._exit(7)
count = 0
def handler(event, context):
    global count
    count += 1
    do = event.get('do')
    if do == 'fail':
        raise ValueError('asked to fail')
    if do == 'exit':
        os._exit(7)
    if do == 'hang':
        time.sleep(600)
    if do == 'hog':
        held = []
        while True:
            held.append(bytearray(1 << 20))
    if do == 'big':
        return 'x' * event['size']
    if do == 'print':
        print('first line')
        print('second line')
    if do == 'count':
        return count
    if do == 'leave':
        open('/tmp/left', 'w').close()
    if do == 'find':
        return os.path.exists('/tmp/left')
    return event
"""

NODE = """
const fs = require('fs');
if (process.env.INIT === 'fail') throw new Error('no init');
if (process.env.INIT === 'exit') process.exit(7);
let count = 0;
exports.handler = async (event) => {
  count += 1;
  switch (event.do) {
    case 'fail': throw new Error('asked to fail');
    case 'exit': process.exit(7);
    case 'hang': await new Promise((resolve) => setTimeout(resolve, 600000)); break;
    case 'hog': { const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1)); }
    case 'big': return 'x'.repeat(event.size);
    case 'print': console.log('first line'); console.log('second line'); break;
    case 'count': return count;
    case 'leave': fs.writeFileSync('/tmp/left', ''); break;
    case 'find': return fs.existsSync('/tmp/left');
  }
  return event;
};
"""

NODE_STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/plain');
  for (let n = 0; n < event.pieces; n++) stream.write(`piece ${n}\\n`);
  if (event.fail) throw new Error('asked to fail');
  stream.end();
});
"""

JAVA = """
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
"""

PROVIDED = r"""
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
"""

IDENTIFIERS = {
    "python": "python3.11",
    "node": "nodejs20.x",
    "java": "java17",
    "provided": "provided.al2023",
}

COMPILERS = {"java": "javac", "provided": "gcc", "node": "node"}


def compiled(runtime: str, directory: Path) -> bytes:
    """The deployment package of a runtime's program; `directory` is for the compiler's files."""
    if runtime == "java":
        (directory / "App.java").write_text(JAVA)
        subprocess.run(["javac", "App.java"], cwd=directory, check=True)
        return _archive({"App.class": (directory / "App.class").read_bytes()})
    if runtime == "provided":
        (directory / "bootstrap.c").write_text(PROVIDED)
        command = ["gcc", "-O1", "-w", "-o", "bootstrap", "bootstrap.c"]
        subprocess.run(command, cwd=directory, check=True)
        return _archive({"bootstrap": (directory / "bootstrap").read_bytes()})
    name, text = ("app.py", PYTHON) if runtime == "python" else ("app.js", NODE)
    return _archive({name: text, "streaming.js": NODE_STREAMING})


def is_installed(runtime: str) -> bool:
    """Whether this machine can run, and where needed compile, the runtime's program."""
    return runtime not in COMPILERS or shutil.which(COMPILERS[runtime]) is not None


def _archive(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
