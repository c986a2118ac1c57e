from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from lamington.core.clock import ManualClock
from lamington.core.store import Store
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Metrics
from lamington.gateway.journal import NAMESPACE, Journal
from lamington.gateway.v2 import entities
from websocket_talk import Talk
from websocket_world import API_ID, SCOPE

GROUP = "talks"
FORMAT = (
    "$context.eventType $context.routeKey $context.status $context.connectionId"
    " $context.integration.status [$context.error.message]"
)


class Observed:
    """A journal over a real store, read back from here."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock()
        self.logs = LogStore(store, self.clock, 2**30)
        self.metrics = Metrics(store, self.clock)
        self.journal = Journal(self.logs, self.metrics, 3600.0)

    def talk(self, given: dict[str, Any]) -> Talk:
        return Talk(given, clock=self.clock, journal=self.journal)

    def lines(self) -> list[str]:
        self.journal.flush()
        return [event.message for event in self.logs.read_events(SCOPE, GROUP).events]

    def total(self, name: str, **dimensions: str) -> float:
        self.journal.flush()
        self.metrics.write()
        now = self.clock.now()
        named = tuple(sorted({"ApiId": API_ID, **dimensions}.items()))
        hour = timedelta(hours=1)
        found = self.metrics.read(SCOPE, NAMESPACE, name, named, now - hour, now + hour)
        return sum(each.total for each in found.values())


@contextmanager
def observed(directory: Path) -> Iterator[Observed]:
    store = Store(directory)
    try:
        yield Observed(store)
    finally:
        store.close()


async def test_each_exchange_is_a_line_of_the_access_log(tmp_path: Path) -> None:
    destination = SCOPE.arn("logs", f"log-group:{GROUP}")
    access_log = {"DestinationArn": destination, "Format": FORMAT}
    with observed(tmp_path) as world:
        talk = world.talk(
            {"routes": ["$connect", "join", "$disconnect"], "stage": {"access_log": access_log}}
        )
        connection = await talk.connect()
        await talk.plane.attend(connection, '{"action":"join"}')
        await talk.plane.attend(connection, "{}")
        await talk.plane.see_off(connection, 1000, "")
        name = connection.client.connection_id
        assert world.lines() == [
            f"CONNECT $connect 101 {name} 200 [-]",
            f"MESSAGE join 200 {name} 200 [-]",
            f"MESSAGE - 403 {name} - [Forbidden]",
            f"DISCONNECT $disconnect 200 {name} 200 [-]",
        ]
        await talk.plane.close()


async def test_connects_and_messages_of_both_ways_are_counted(tmp_path: Path) -> None:
    with observed(tmp_path) as world:
        talk = world.talk({"routes": ["$default"], "answer": '{"statusCode":200,"body":"x"}'})
        connection = await talk.connect()
        await talk.plane.attend(connection, "x")
        await talk.manage(connection, {"manage": "POST", "body": "y"})
        assert world.total("ConnectCount") == 1
        assert world.total("MessageCount", Stage="dev") == 3
        assert world.total("IntegrationError") == 0
        await talk.plane.close()


async def test_failures_are_counted_by_whose_they_are(tmp_path: Path) -> None:
    with observed(tmp_path) as world:
        talk = world.talk({"routes": ["join"], "answer": "[]"})
        connection = await talk.connect()
        await talk.plane.attend(connection, '{"action":"join"}')
        assert (world.total("IntegrationError"), world.total("ClientError")) == (1, 0)
        await talk.plane.attend(connection, '{"action":"unknown"}')
        assert (world.total("IntegrationError"), world.total("ClientError")) == (1, 1)
        talk.permissions.permitted = False
        talk.permissions.policy_version += 1
        await talk.plane.attend(connection, '{"action":"join"}')
        assert world.total("ExecutionError") == 1
        await talk.plane.close()


async def test_execution_log_tells_why_a_message_failed(tmp_path: Path) -> None:
    settings = entities.RouteSettings(logging_level="ERROR")
    with observed(tmp_path) as world:
        talk = world.talk(
            {
                "routes": ["$connect", "join", "$disconnect"],
                "answer": "[]",
                "stage": {"default_route_settings": settings},
            }
        )
        connection = await talk.connect()
        await talk.plane.attend(connection, '{"action":"join"}')
        await talk.plane.see_off(connection, 1000, "")
        world.journal.flush()
        group = f"/aws/apigateway/{API_ID}/dev"
        lines = [event.message for event in world.logs.read_events(SCOPE, group).events]
        assert any("Malformed Lambda proxy response" in line for line in lines)
        assert lines[2].endswith("WebSocket Request Route: [join]")
        assert not any("$connect" in line for line in lines)
        await talk.plane.close()


async def test_execution_log_tells_all_at_level_info(tmp_path: Path) -> None:
    settings = entities.RouteSettings(logging_level="INFO", data_trace_enabled=True)
    with observed(tmp_path) as world:
        talk = world.talk({"routes": ["$default"], "stage": {"default_route_settings": settings}})
        connection = await talk.connect()
        await talk.plane.attend(connection, "secret")
        world.journal.flush()
        group = f"/aws/apigateway/{API_ID}/dev"
        text = "\n".join(event.message for event in world.logs.read_events(SCOPE, group).events)
        assert f"connected to WebSocket API [{API_ID}] successfully." in text
        assert "received message from client" in text
        assert "secret" in text
        await talk.plane.close()


async def test_data_trace_shows_what_the_function_got_and_gave(tmp_path: Path) -> None:
    traced = entities.RouteSettings(logging_level="INFO", data_trace_enabled=True)
    with observed(tmp_path) as world:
        talk = world.talk(
            {"routes": ["join", "leave"], "stage": {"route_settings": {"join": traced}}}
        )
        connection = await talk.connect()
        await talk.plane.attend(connection, '{"action":"join"}')
        await talk.plane.attend(connection, '{"action":"leave"}')
        world.journal.flush()
        group = f"/aws/apigateway/{API_ID}/dev"
        lines = [event.message for event in world.logs.read_events(SCOPE, group).events]
        texts = [line.partition(") ")[2] for line in lines]
        assert [text.partition(":")[0] for text in texts[4:10]] == [
            "Endpoint request URI",
            "Endpoint request headers",
            "Endpoint request body after transformations",
            "Sending request to https",
            "Received response. Status",
            "Endpoint response headers",
        ]
        assert texts[-1] == 'Endpoint response body before transformations: {"statusCode":200}'
        assert not any("leave" in line for line in lines)
        await talk.plane.close()


async def test_without_data_trace_no_body_is_logged(tmp_path: Path) -> None:
    settings = entities.RouteSettings(logging_level="INFO")
    with observed(tmp_path) as world:
        talk = world.talk({"routes": ["$default"], "stage": {"default_route_settings": settings}})
        connection = await talk.connect()
        await talk.plane.attend(connection, "secret")
        world.journal.flush()
        group = f"/aws/apigateway/{API_ID}/dev"
        text = "\n".join(event.message for event in world.logs.read_events(SCOPE, group).events)
        assert "Endpoint" not in text
        assert "secret" not in text
        await talk.plane.close()


async def test_route_is_counted_only_with_detailed_metrics(tmp_path: Path) -> None:
    settings = entities.RouteSettings(detailed_metrics_enabled=True)
    with observed(tmp_path) as world:
        talk = world.talk(
            {"routes": ["join", "leave"], "stage": {"route_settings": {"join": settings}}}
        )
        connection = await talk.connect()
        await talk.plane.attend(connection, '{"action":"join"}')
        await talk.plane.attend(connection, '{"action":"leave"}')
        assert world.total("MessageCount", Stage="dev", Route="join") == 1
        assert world.total("MessageCount", Stage="dev", Route="leave") == 0
        await talk.plane.close()
