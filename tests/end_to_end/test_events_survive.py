"""Ten thousand accepted events, an engine that is killed, and not one of them lost."""

import http.client
import time
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from killable_engine import KillableEngine, archive, killable, make_function, wait_until_active

EVENTS = 10_000
# Longer than it takes to hand over the events: the last log lines before a kill may be lost.
SLOW = "import time\ndef handler(event, context):\n    time.sleep(20)\n"
FAST = "def handler(event, context):\n    return event\n"


def accept(engine: KillableEngine, count: int) -> set[str]:
    """Hand over so many events on one connection; the request ids of those that were taken."""
    host = f"127.0.0.1:{engine.port}"
    path = "/2015-03-31/functions/f/invocations"
    signed = AWSRequest(
        "POST", f"http://{host}{path}", headers={"X-Amz-Invocation-Type": "Event"}, data=b"{}"
    )
    SigV4Auth(Credentials("000000000000", "any"), "lambda", "us-east-1").add_auth(signed)
    headers = dict(signed.prepare().headers.items())
    connection = http.client.HTTPConnection(host, timeout=20)
    accepted = set()
    for _ in range(count):
        connection.request("POST", path, b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
        accepted.add(answer.headers["x-amzn-RequestId"])
    connection.close()
    return accepted


def delivered(engine: KillableEngine) -> set[str]:
    """The request ids that the function's log has a START line of."""
    client: Any = engine.client("logs")
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/lambda/f", filterPattern="START RequestId"
    )
    return {event["message"].split()[2] for page in pages for event in page["events"]}


def test_ten_thousand_accepted_events_survive_a_kill(tmp_path: Path) -> None:
    with killable(tmp_path) as engine:
        make_function(engine, "f", SLOW)
        wait_until_active(engine, "f")
        accepted = accept(engine, EVENTS)
        assert len(accepted) == EVENTS
        engine.kill()
        engine.start()
        done = delivered(engine) if _has_log(engine) else set()
        assert len(done) < EVENTS / 10, "the events were not outstanding when the engine was killed"
        engine.client("lambda").update_function_code(FunctionName="f", ZipFile=archive(FAST))
        for _ in range(600):
            if accepted <= delivered(engine):
                break
            time.sleep(0.1)
        assert accepted <= delivered(engine)


def _has_log(engine: KillableEngine) -> bool:
    groups = engine.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/f")
    return bool(groups["logGroups"])
