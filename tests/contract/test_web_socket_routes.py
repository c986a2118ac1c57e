"""What stands behind the routes of WebSocket APIs, and who may connect to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from fakes_gateway import HandlerFailed
from lamington.core.clock import ManualClock
from lamington.core.http import Request, Response
from lamington.core.policies import compile_policy
from lamington.core.sigv4 import Signer
from lamington.core.store import Store
from lamington.engine.server import HttpServer
from lamington.gateway.quotas import UsageCounter
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import Subscription, UsagePlans
from lamington.gateway.v2 import entities
from websocket_world import (
    SIGNED,
    SocketWorld,
    function_arn,
    function_uri,
    integration,
    route,
    socket_world,
    web_socket_api,
)

OK = {"statusCode": 200}


def response(key: str = "$default", **members: Any) -> dict[str, entities.IntegrationResponse]:
    made = entities.IntegrationResponse(
        integration_response_id=f"id-{key}", integration_response_key=key, **members
    )
    return {made.integration_response_id: made}


async def status_of_handshake(world: SocketWorld, query: str = "", **headers: str) -> int:
    try:
        async with world.connect(query, additional_headers=headers):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


async def answer_to(world: SocketWorld, message: str) -> str:
    async with world.connect() as client:
        await client.send(message)
        return str(await asyncio.wait_for(client.recv(), 5))


# Integrations that are no proxies.


async def test_request_template_makes_the_event_of_the_function() -> None:
    template = (
        '{"text": $input.json("$.text"), "who": "$context.connectionId",'
        ' "route": "$context.routeKey", "color": "$stageVariables.color"}'
    )
    async with socket_world() as world:
        world.invoker.handlers[function_arn("f")] = lambda event: event
        api = web_socket_api(
            [route("say", "f", replies=True)],
            [integration("f", "AWS", request_templates={"$default": template})],
        )
        world.deploy(api, variables={"color": "red"})
        answer = json.loads(await answer_to(world, '{"action":"say","text":"hi"}'))
        assert (answer["text"], answer["route"], answer["color"]) == ("hi", "say", "red")
        assert len(answer["who"]) == 16


async def test_template_is_chosen_by_the_message() -> None:
    templates = {"a": '{"took": "a"}', "$default": '{"took": "default"}'}
    async with socket_world() as world:
        world.invoker.handlers[function_arn("f")] = lambda event: event
        made = integration(
            "f",
            "AWS",
            request_templates=templates,
            template_selection_expression="$request.body.kind",
        )
        world.deploy(web_socket_api([route("$default", "f", replies=True)], [made]))
        assert json.loads(await answer_to(world, '{"kind":"a"}')) == {"took": "a"}
        assert json.loads(await answer_to(world, '{"kind":"b"}')) == {"took": "default"}


async def test_message_goes_as_it_is_without_a_template() -> None:
    async with socket_world() as world:
        world.invoker.handlers[function_arn("f")] = lambda event: event
        world.deploy(
            web_socket_api([route("$default", "f", replies=True)], [integration("f", "AWS")])
        )
        assert json.loads(await answer_to(world, '{"n":1}')) == {"n": 1}


async def test_integration_response_is_chosen_by_the_error_message() -> None:
    def handle(event: Any) -> Any:
        if event.get("fails"):
            raise HandlerFailed({"errorMessage": "Missing: bread", "errorType": "E"})
        return {"ok": True}

    responses = {
        **response(response_templates={"$default": '{"got": $input.json("$")}'}),
        **response(
            "/Missing.*/", response_templates={"$default": '{"no": $input.json("$.errorMessage")}'}
        ),
    }
    async with socket_world() as world:
        world.invoker.handlers[function_arn("f")] = handle
        world.deploy(
            web_socket_api(
                [route("$default", "f", replies=True)],
                [integration("f", "AWS", responses=responses)],
            )
        )
        assert json.loads(await answer_to(world, "{}")) == {"got": {"ok": True}}
        assert json.loads(await answer_to(world, '{"fails":1}')) == {"no": "Missing: bread"}


async def test_mock_answers_from_its_templates() -> None:
    made = integration(
        "m",
        "MOCK",
        uri="",
        request_templates={"$default": '{"statusCode": 200}'},
        responses=response(response_templates={"$default": '{"id": "$context.connectionId"}'}),
    )
    async with socket_world() as world:
        world.deploy(web_socket_api([route("$default", "m", replies=True)], [made]))
        assert len(json.loads(await answer_to(world, "x"))["id"]) == 16


async def test_mock_may_refuse_a_handshake() -> None:
    made = integration("m", "MOCK", uri="", request_templates={"$default": '{"statusCode": 403}'})
    async with socket_world() as world:
        world.deploy(web_socket_api([route("$connect", "m")], [made]))
        assert await status_of_handshake(world) == 403


async def test_template_that_does_not_compile_fails_its_messages() -> None:
    made = integration("f", "AWS", request_templates={"$default": "#if($x"})
    async with socket_world() as world:
        world.invoker.handlers[function_arn("f")] = lambda event: event
        world.deploy(web_socket_api([route("$default", "f")], [made]))
        assert json.loads(await answer_to(world, "{}"))["message"] == "Internal server error"
        problems = world.plane.problems("wsapi12345", "dev")
        assert problems[0].path == "$default"
        assert problems[0].line == 1


# HTTP endpoints.


@asynccontextmanager
async def endpoint(answer: Response, taken: list[Request]) -> AsyncIterator[str]:
    def respond(request: Request) -> Response:
        taken.append(request)
        return answer

    server = HttpServer(respond)
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0.2)


async def test_http_proxy_passes_messages_on_with_mapped_headers() -> None:
    taken: list[Request] = []
    async with endpoint(Response(body=b'{"from":"behind"}'), taken) as url, socket_world() as world:
        made = integration(
            "h",
            "HTTP_PROXY",
            uri=f"{url}/take/{{id}}",
            request_parameters={
                "integration.request.header.connectionId": "context.connectionId",
                "integration.request.path.id": "route.request.body.id",
                "integration.request.querystring.fixed": "'yes'",
            },
        )
        world.deploy(web_socket_api([route("$default", "h", replies=True)], [made]))
        assert await answer_to(world, '{"id":"7"}') == '{"from":"behind"}'
    assert (taken[0].path, taken[0].query, taken[0].body) == ("/take/7", "fixed=yes", b'{"id":"7"}')
    assert len(taken[0].headers.get("connectionId")) == 16
    assert taken[0].headers.get("user-agent") == "AmazonAPIGateway_wsapi12345"


async def test_http_proxy_gets_the_handshake_of_connect() -> None:
    taken: list[Request] = []
    async with endpoint(Response(status=204), taken) as url, socket_world() as world:
        made = integration("h", "HTTP_PROXY", uri=url)
        world.deploy(web_socket_api([route("$connect", "h")], [made]))
        assert await status_of_handshake(world, "?token=1", **{"X-Own": "yes"}) == 101
    assert taken[0].headers.get("x-own") == "yes"
    assert taken[0].query == "token=1"


async def test_http_endpoint_refuses_a_handshake_by_its_status() -> None:
    async with endpoint(Response(status=418), []) as url, socket_world() as world:
        world.deploy(
            web_socket_api([route("$connect", "h")], [integration("h", "HTTP_PROXY", uri=url)])
        )
        assert await status_of_handshake(world) == 418


async def test_http_integration_maps_both_ways() -> None:
    taken: list[Request] = []
    async with endpoint(Response(body=b'{"n":2}'), taken) as url, socket_world() as world:
        made = integration(
            "h",
            "HTTP",
            uri=url,
            request_templates={"$default": '{"doubled": $input.json("$.n")}'},
            responses=response("/2../", response_templates={"$default": '$input.json("$.n")'}),
        )
        world.deploy(web_socket_api([route("$default", "h", replies=True)], [made]))
        assert await answer_to(world, '{"n":1}') == "2"
    assert json.loads(taken[0].body) == {"doubled": 1}


async def test_endpoint_that_is_not_there_is_an_error_frame() -> None:
    async with socket_world() as world:
        made = integration("h", "HTTP_PROXY", uri="http://127.0.0.1:1/")
        world.deploy(web_socket_api([route("$default", "h")], [made]))
        message = json.loads(await answer_to(world, "{}"))["message"]
        assert message == "Network error communicating with endpoint"


# Validation.


async def test_message_that_the_model_refuses_is_a_bad_request_body() -> None:
    model = entities.Model(
        model_id="m",
        name="Order",
        schema='{"required": ["cake"], "properties": {"cake": {"type": "string"}}}',
    )
    async with socket_world() as world:
        world.serve(lambda event: {"statusCode": 200, "body": "fine"})
        api = web_socket_api(
            [
                route(
                    "$default",
                    "f",
                    replies=True,
                    request_models={"$default": "Order"},
                    model_selection_expression="$default",
                )
            ],
            [integration("f")],
            models={"m": model},
        )
        world.deploy(api)
        async with world.connect() as client:
            for message in ("{}", "no json", '{"cake": 1}'):
                await client.send(message)
                assert json.loads(await client.recv())["message"] == "Bad request body"
            await client.send('{"cake":"lemon"}')
            assert await client.recv() == "fine"


# Who may connect.


def authorizer(*sources: str) -> entities.Authorizer:
    return entities.Authorizer(
        authorizer_id="auth1",
        name="door",
        authorizer_type="REQUEST",
        authorizer_uri=function_uri("door"),
        identity_source=sources,
    )


def deploy_guarded(world: SocketWorld, kind: str, *sources: str, **members: Any) -> None:
    world.invoker.handlers[function_arn("f")] = lambda event: OK
    api = web_socket_api(
        [
            route(
                "$connect",
                "f",
                authorization_type=kind,
                authorizer_id="auth1",
                **members,
            ),
            route("$default", "f"),
        ],
        [integration("f")],
        authorizers={"auth1": authorizer(*sources)},
    )
    world.deploy(api)


def verdict(effect: str, **context: Any) -> dict[str, Any]:
    return {
        "principalId": "ada",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": "*"}],
        },
        "context": context,
    }


async def test_authorizer_lets_in_and_its_context_stays_with_the_connection() -> None:
    async with socket_world() as world:
        world.invoker.handlers[function_arn("door")] = lambda event: verdict("Allow", level=3)
        deploy_guarded(world, "CUSTOM", "route.request.header.Token")
        async with world.connect(additional_headers={"Token": "t"}) as client:
            await client.send("x")
            message = await world.event("MESSAGE")
        asked = world.events("CONNECT")[0]
        assert asked["type"] == "REQUEST"
        assert asked["methodArn"].endswith(":wsapi12345/dev/$connect")
        assert asked["headers"]["Token"] == "t"
        assert world.events("CONNECT")[1]["requestContext"]["authorizer"]["principalId"] == "ada"
        assert message["requestContext"]["authorizer"]["level"] == "3"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (verdict("Deny"), 403),
        ("nonsense", 500),
        (HandlerFailed({"errorMessage": "Unauthorized"}), 401),
        (HandlerFailed({"errorMessage": "broken"}), 500),
    ],
)
async def test_authorizer_keeps_out(answer: Any, status: int) -> None:
    def handle(event: Any) -> Any:
        if isinstance(answer, HandlerFailed):
            raise answer
        return answer

    async with socket_world() as world:
        world.invoker.handlers[function_arn("door")] = handle
        deploy_guarded(world, "CUSTOM")
        assert await status_of_handshake(world) == status


async def test_missing_identity_source_is_401_and_nobody_is_asked() -> None:
    async with socket_world() as world:
        deploy_guarded(world, "CUSTOM", "route.request.header.Token", "route.request.querystring.q")
        assert await status_of_handshake(world, "?q=1") == 401
        assert await status_of_handshake(world, Token="t") == 401
        assert not world.events()


class OneUser:
    """Signers that know one user, whose policy is given."""

    def __init__(self, effect: str) -> None:
        self.policy = compile_policy(
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": effect, "Action": "execute-api:*", "Resource": "*"},
            }
        )

    def find(self, access_key: str, session_token: str) -> Signer | None:
        return Signer(
            access_key=access_key,
            arn="arn:aws:iam::123456789012:user/ada",
            user_id="AIDA",
            policies=lambda: (self.policy,),
        )


SIGNATURE = {"Authorization": SIGNED, "X-Amz-Date": "20260101T000000Z"}


async def test_iam_takes_signed_handshakes_only() -> None:
    async with socket_world(signers=OneUser("Allow")) as world:
        deploy_guarded(world, "AWS_IAM")
        assert await status_of_handshake(world) == 403
        assert await status_of_handshake(world, **SIGNATURE) == 101
        identity = world.events("CONNECT")[0]["requestContext"]["identity"]
        assert identity["userArn"] == "arn:aws:iam::123456789012:user/ada"


async def test_iam_policy_may_deny_a_handshake_and_a_message_to_a_connection() -> None:
    async with socket_world(signers=OneUser("Deny")) as world:
        deploy_guarded(world, "AWS_IAM")
        assert await status_of_handshake(world, **SIGNATURE) == 403
        answer = await world.manage("POST", "AAAAAAAAAAAAAAA=", b"x")
        assert (answer.status, dict(answer.headers)["x-amzn-ErrorType"]) == (
            403,
            "AccessDeniedException",
        )


async def test_api_key_is_asked_for_where_a_route_needs_one(tmp_path: Path) -> None:
    clock = ManualClock()
    store = Store(tmp_path)
    plans = UsagePlans(store=store, clock=clock, buckets=Buckets(clock))
    counter = UsageCounter(clock, on_change=lambda counter: None, on_turn=lambda counter: None)
    plans.stage("wsapi12345", "dev").by_value["sesame"] = Subscription(
        key_id="k1",
        plan_id="p1",
        bucket=None,
        methods={},
        counter=counter,
        identity={"apiKey": "sesame", "apiKeyId": "k1"},
    )
    async with socket_world(clock=clock, plans=plans) as world:
        deploy_guarded(world, "NONE", api_key_required=True)
        assert await status_of_handshake(world) == 403
        assert await status_of_handshake(world, **{"x-api-key": "sesame"}) == 101
        identity = world.events("CONNECT")[0]["requestContext"]["identity"]
        assert identity["apiKeyId"] == "k1"
    store.close()


# @connections.


async def test_connection_is_managed_from_behind() -> None:
    clock = ManualClock()
    async with socket_world(clock=clock) as world:
        world.serve(lambda event: OK)
        async with world.connect() as client:
            connection = world.events("CONNECT")[0]["requestContext"]["connectionId"]
            assert (await world.manage("POST", connection, "grüß".encode())).status == 200
            assert await client.recv() == "grüß"
            await clock.advance(60)
            described = json.loads((await world.manage("GET", connection)).body)
            assert described["connectedAt"] == "2026-01-01T00:00:00.000Z"
            assert described["identity"]["sourceIp"] == "127.0.0.1"
            gone = await world.manage("DELETE", connection)
            assert (gone.status, gone.body) == (204, b"")
            await client.wait_closed()
            assert client.close_code == 1000
        assert (await world.manage("POST", connection, b"x")).status == 410
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert departure["disconnectReason"] == "Connection Closed Normally"


async def test_unsigned_request_to_connections_is_refused() -> None:
    async with socket_world() as world:
        world.serve(lambda event: OK)
        answer = await world.manage("POST", "AAAAAAAAAAAAAAA=", b"x", signed=False)
        assert json.loads(answer.body) == {"message": "Missing Authentication Token"}


async def test_message_over_128_kilobytes_is_refused() -> None:
    async with socket_world() as world:
        world.serve(lambda event: OK)
        async with world.connect(max_size=None) as client:
            connection = world.events("CONNECT")[0]["requestContext"]["connectionId"]
            answer = await world.manage("POST", connection, b"x" * (128 * 1024 + 1))
            assert answer.status == 413
            assert (await world.manage("POST", connection, b"x" * 128 * 1024)).status == 200
            assert len(await client.recv()) == 128 * 1024


async def test_connection_cannot_be_reached_before_it_is_made() -> None:
    statuses: list[int] = []

    async with socket_world() as world:
        world.invoker.gate = asyncio.Event()
        world.serve(lambda event: OK)
        connecting = asyncio.ensure_future(status_of_handshake(world))
        event = await world.event("CONNECT")
        connection = event["requestContext"]["connectionId"]
        statuses.append((await world.manage("POST", connection, b"x")).status)
        world.invoker.gate.set()
        assert await connecting == 101
    assert statuses == [410]


async def test_ids_have_the_form_of_aws() -> None:
    async with socket_world() as world:
        world.serve(lambda event: OK)
        async with world.connect():
            context = world.events("CONNECT")[0]["requestContext"]
    assert len(context["connectionId"]) == 16
    assert context["connectionId"].endswith("=")
    assert context["requestId"] == context["extendedRequestId"]
