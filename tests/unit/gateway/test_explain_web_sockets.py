"""What is told of handshakes, messages and departures of WebSocket APIs, step by step."""

import json
from typing import Any

from lamington.core.http import Headers, Request
from lamington.gateway.explain import Document, Explained, explain
from lamington.gateway.v2 import entities
from websocket_talk import Talk
from websocket_world import API_ID, SCOPE, integration, route, stage, web_socket_api

GUARD = {"authorization_type": "CUSTOM", "authorizer_id": "door"}


class Watched:
    """A client whose events are watched."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.talk = Talk(given)
        self.seen: list[Explained] = []
        self.talk.plane.watch = self.seen.append

    def document(self, *, secrets: bool = False) -> Document:
        """Of the last event."""
        document = explain(self.seen[-1], show_secrets=secrets)
        assert json.loads(json.dumps(document)) == document
        return document


def step(document: Document, name: str) -> Document:
    found = [each for each in document["steps"] if each["name"] == name]
    assert found, [each["name"] for each in document["steps"]]
    return dict(found[0])


def names(document: Document) -> list[str]:
    return [each["name"] for each in document["steps"]]


async def test_handshake_message_and_departure_are_told_in_one_form() -> None:
    world = Watched({"routes": ["$connect", "join", "$disconnect"]})
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, '{"action":"join"}')
    await world.talk.plane.see_off(connection, 1001, "")
    documents = [explain(each) for each in world.seen]
    assert [each["request"]["method"] for each in documents] == ["CONNECT", "MESSAGE", "DISCONNECT"]
    assert [each["resource"]["path"] for each in documents] == ["$connect", "join", "$disconnect"]
    assert [each["response"]["status"] for each in documents] == [101, 200, 200]
    assert {each["connection_id"] for each in documents} == {connection.client.connection_id}
    assert {tuple(each) for each in documents} == {tuple(documents[0])}
    assert names(documents[0]) == [
        "match",
        "throttle",
        "throttle",
        "integration_request",
        "integration_response",
        "method_response",
    ]
    assert documents[2]["steps"][0]["why"] == "the connection ended: 1001 Going away"
    await world.talk.plane.close()


async def test_selection_of_a_route_is_told() -> None:
    world = Watched({"routes": ["join", "$default"]})
    connection = await world.talk.connect()
    told = []
    for text in ('{"action":"join"}', '{"action":"other"}', "plain", '{"action":"$connect"}'):
        await world.talk.plane.attend(connection, text)
        match = step(world.document(), "match")
        assert match["expression"] == "$request.body.action"
        told.append((match["resource"], match["selected"], match["why"]))
    assert told == [
        ("join", "join", "the expression gives its key"),
        ("$default", "other", "no route has the key `other`"),
        ("$default", "", "the message is no JSON"),
        ("$default", "$connect", "no message takes $connect"),
    ]
    await world.talk.plane.close()


async def test_message_that_no_route_takes_is_told_what_there_is() -> None:
    world = Watched({"routes": ["join"]})
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, '{"action":"other"}')
    document = world.document()
    assert document["resource"] is None
    assert document["methods"] == ["join"]
    assert document["refusal"]["message"] == "No route takes the message"
    assert step(document, "gateway_response")["body"] == document["response"]["body"]
    assert '"message": "Forbidden"' in document["response"]["body"]
    await world.talk.plane.close()


async def test_authorizer_is_told_and_its_token_is_not() -> None:
    world = Watched(
        {
            "routes": ["$connect", "$default"],
            "guard": GUARD,
            "decides": "Deny",
            "identity_source": ["route.request.querystring.token"],
        }
    )
    await world.talk.shake_hands({"query": "token=open-sesame-now"})
    document = world.document()
    found = step(document, "authorizer")
    assert (found["authorizer_name"], found["decision"], found["principal"]) == (
        "door",
        "deny",
        "ada",
    )
    assert json.loads(found["input"])["type"] == "REQUEST"
    assert "open-sesame" not in json.dumps(document)
    assert "open-sesame" in json.dumps(world.document(secrets=True))
    assert document["refusal"]["type"] == "ACCESS_DENIED"
    assert document["response"]["status"] == 403


async def test_api_key_that_opens_nothing_is_told() -> None:
    world = Watched({"routes": ["$connect"]})
    api = web_socket_api(
        [route("$connect", "f", api_key_required=True)],
        [integration("f")],
        api_key_selection_expression="$request.header.x-api-key",
    )
    world.talk.plane.deploy(api, stage(), SCOPE)
    await world.talk.shake_hands({"headers": {"x-api-key": "0123456789abcdef"}})
    document = world.document()
    assert document["response"]["status"] >= 400
    assert "0123456789" not in json.dumps(document)


async def test_handshake_that_an_integration_refuses_is_told() -> None:
    world = Watched({"routes": ["$connect"], "handshake": {}, "answer": '{"statusCode":401}'})
    await world.talk.shake_hands({})
    document = world.document()
    assert document["refusal"] is None
    assert document["response"]["status"] == 401


async def test_limit_that_refuses_is_told() -> None:
    limits = entities.RouteSettings(throttling_rate_limit=1.0, throttling_burst_limit=1)
    world = Watched({"routes": ["$default"], "stage": {"route_settings": {"$default": limits}}})
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, "a")
    await world.talk.plane.attend(connection, "b")
    found = step(world.document(), "throttle")
    assert (found["level"], found["decision"]) == ("route", "throttled")
    await world.talk.plane.close()


async def test_mapped_route_is_told_with_its_templates_and_its_response() -> None:
    world = Watched({})
    mapped = integration(
        "f",
        "MOCK",
        request_templates={"$default": '{"statusCode":200}\n#set($x = 1)'},
        request_parameters={"integration.request.header.X-Who": "context.connectionId"},
        responses={
            "r": entities.IntegrationResponse(
                integration_response_id="r",
                integration_response_key="/2../",
                response_templates={"$default": "seen: $input.json('$')"},
                response_parameters={"route.response.header.x-a": "'b'"},
            )
        },
    )
    api = web_socket_api([route("$default", "f", replies=True)], [mapped])
    world.talk.plane.deploy(api, stage(), SCOPE)
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, "hello")
    document = world.document()
    assert names(document) == [
        "match",
        "throttle",
        "request_parameters",
        "request_template",
        "integration_request",
        "integration_response",
        "response_selection",
        "response_parameters",
        "response_template",
        "method_response",
    ]
    assert step(document, "request_template")["lines"][0] == [1, '{"statusCode":200}\n']
    assert step(document, "request_parameters")["after"] == {
        "header": {"X-Who": connection.client.connection_id}
    }
    selection = step(document, "response_selection")
    assert (selection["pattern"], selection["why"]) == ("/2../", "`/2../` matches")
    assert document["response"]["body"].startswith("seen: ")
    await world.talk.plane.close()


async def test_message_that_its_model_refuses_is_told_why() -> None:
    world = Watched({})
    model = entities.Model(
        model_id="m", name="Said", schema='{"type":"object","required":["text"]}'
    )
    api = web_socket_api(
        [route("$default", "f", request_models={"$default": "Said"})],
        [integration("f")],
        models={"m": model},
    )
    world.talk.plane.deploy(api, stage(), SCOPE)
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, "{}")
    document = world.document()
    found = step(document, "validation")
    assert found["model"] == "Said"
    assert found["errors"]
    assert document["refusal"]["type"] == "BAD_REQUEST_BODY"
    await world.talk.plane.close()


async def test_route_without_a_response_is_told_to_send_nothing() -> None:
    world = Watched({})
    world.talk.plane.deploy(
        web_socket_api([route("$default", "f")], [integration("f")]), stage(), SCOPE
    )
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, "hello")
    document = world.document()
    assert step(document, "method_response")["why"].startswith("the route has no response")
    assert document["response"]["body"] == ""
    await world.talk.plane.close()


async def test_one_handshake_may_be_watched_alone() -> None:
    world = Watched({"routes": ["$connect", "$default"]})
    world.talk.plane.watch = None
    alone: list[Explained] = []
    connection = await world.talk.connect()
    await world.talk.plane.attend(connection, "hello")
    assert world.seen == []
    request = Request(method="GET", path="/dev", headers=Headers([("Host", "localhost")]))
    await world.talk.plane.handle(request, API_ID, "dev", "/", watch=alone.append)
    assert [each.answer.status for each in alone] == [426]
    await world.talk.plane.close()
