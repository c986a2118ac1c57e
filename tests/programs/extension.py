"""An external extension as people write them: registers, takes telemetry, waits for events.

It prints each event's type, and at the end the types of the telemetry that has arrived.
"""

import http.client
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

BASE = "/2020-01-01/extension"
arrived: list[str] = []
reported = threading.Event()


class Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrived.extend(event["type"] for event in json.loads(body))
        if "platform.report" in arrived:
            reported.set()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None: ...


def main() -> None:
    server = HTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    asked = {"events": ["INVOKE", "SHUTDOWN"]}
    api.request("POST", f"{BASE}/register", json.dumps(asked), {"Lambda-Extension-Name": "watcher"})
    answer = api.getresponse()
    answer.read()
    header = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
    subscription = {
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function"],
        "buffering": {"timeoutMs": 25},
        "destination": {
            "protocol": "HTTP",
            "URI": f"http://sandbox.localdomain:{server.server_port}",
        },
    }
    api.request("PUT", "/2022-07-01/telemetry", json.dumps(subscription), header)
    assert api.getresponse().read() == b'"OK"'
    while True:
        api.request("GET", f"{BASE}/event/next", headers=header)
        event = json.loads(api.getresponse().read())
        print(event["eventType"], event.get("requestId", event.get("shutdownReason")), flush=True)
        if event["eventType"] == "SHUTDOWN":
            break
    reported.wait(20)
    print(*arrived, flush=True)


main()
