"""What changes of an HTTP or WebSocket API put into service, and what they leave alone."""

from pathlib import Path

import pytest

from lamington.gateway.entities import BadRequestException
from v2_world import FUNCTION, INVOCATION, SCOPE, V2World


@pytest.fixture
def world(tmp_path: Path) -> V2World:
    return V2World(tmp_path)


async def _stage(world: V2World, api_id: str, name: str = "dev", **more: object) -> str:
    created = await world.call("CreateStage", {"ApiId": api_id, "StageName": name, **more})
    return str(created.get("DeploymentId", ""))


def _served_keys(world: V2World, api_id: str, stage: str = "dev") -> set[str]:
    api, _ = world.http.served[api_id, stage]
    return {route.route_key for route in api.routes.values()}


async def test_stage_serves_its_deployment_and_not_later_changes(world: V2World) -> None:
    api_id = await world.api()
    await world.route(api_id, "GET /one")
    deployed = await world.call("CreateDeployment", {"ApiId": api_id})
    await _stage(world, api_id, DeploymentId=deployed["DeploymentId"])
    await world.route(api_id, "GET /two")
    assert _served_keys(world, api_id) == {"GET /one"}


async def test_auto_deploy_serves_every_change(world: V2World) -> None:
    api_id = await world.api()
    await _stage(world, api_id, AutoDeploy=True)
    assert not world.http.serves(api_id)
    await world.route(api_id, "GET /one")
    route_id = await world.route(api_id, "GET /two")
    assert _served_keys(world, api_id) == {"GET /one", "GET /two"}
    await world.call("DeleteRoute", {"ApiId": api_id, "RouteId": route_id})
    assert _served_keys(world, api_id) == {"GET /one"}


async def test_auto_deploy_keeps_the_deployments_in_use_alone(world: V2World) -> None:
    api_id = await world.api()
    await world.route(api_id, "GET /one")
    by_hand = await world.call("CreateDeployment", {"ApiId": api_id})
    await _stage(world, api_id, AutoDeploy=True)
    for number in range(5):
        await world.route(api_id, f"GET /{number}")
    listed = (await world.call("GetDeployments", {"ApiId": api_id}))["Items"]
    stage = await world.call("GetStage", {"ApiId": api_id, "StageName": "dev"})
    assert {each["DeploymentId"] for each in listed} == {
        by_hand["DeploymentId"],
        stage["DeploymentId"],
    }
    assert stage["LastDeploymentStatusMessage"] == (
        f"Successfully deployed stage with deployment ID '{stage['DeploymentId']}'"
    )


async def test_last_route_that_goes_leaves_the_stage_as_it_was(world: V2World) -> None:
    api_id = await world.api()
    await _stage(world, api_id, AutoDeploy=True)
    route_id = await world.route(api_id, "GET /one")
    before = await world.call("GetStage", {"ApiId": api_id, "StageName": "dev"})
    await world.call("DeleteRoute", {"ApiId": api_id, "RouteId": route_id})
    after = await world.call("GetStage", {"ApiId": api_id, "StageName": "dev"})
    assert after["DeploymentId"] == before["DeploymentId"]
    assert after["LastDeploymentStatusMessage"].startswith("Deployment attempt failed: ")
    assert _served_keys(world, api_id) == {"GET /one"}


async def test_deployment_moves_the_stage_that_it_names(world: V2World) -> None:
    api_id = await world.api()
    await world.route(api_id, "GET /one")
    first = await world.call("CreateDeployment", {"ApiId": api_id})
    await _stage(world, api_id, DeploymentId=first["DeploymentId"])
    await world.route(api_id, "GET /two")
    await world.call("CreateDeployment", {"ApiId": api_id, "StageName": "dev"})
    assert _served_keys(world, api_id) == {"GET /one", "GET /two"}


async def test_deployment_in_use_is_not_deleted(world: V2World) -> None:
    api_id = await world.api()
    await world.route(api_id, "GET /one")
    params = {"ApiId": api_id}
    params["DeploymentId"] = (await world.call("CreateDeployment", params))["DeploymentId"]
    await _stage(world, api_id, DeploymentId=params["DeploymentId"])
    with pytest.raises(BadRequestException):
        await world.call("DeleteDeployment", params)
    await world.call("DeleteStage", {"ApiId": api_id, "StageName": "dev"})
    assert await world.call("DeleteDeployment", params) == {}


async def test_stage_settings_act_at_once(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    await world.call(
        "UpdateStage",
        {"ApiId": api_id, "StageName": "$default", "StageVariables": {"a": "1", "b": "2"}},
    )
    await world.call(
        "UpdateStage", {"ApiId": api_id, "StageName": "$default", "StageVariables": {"a": ""}}
    )
    _, stage = world.http.served[api_id, "$default"]
    assert stage.variables == {"b": "2"}


async def test_settings_of_a_route_come_and_go(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    named = {"ApiId": api_id, "StageName": "$default"}
    for settings in ({"ThrottlingBurstLimit": 3}, {"ThrottlingRateLimit": 2.5}):
        await world.call("UpdateStage", {**named, "RouteSettings": {"$default": settings}})
    _, stage = world.http.served[api_id, "$default"]
    found = stage.route_settings["$default"]
    assert (found.throttling_burst_limit, found.throttling_rate_limit) == (3, 2.5)
    await world.call("DeleteRouteSettings", {**named, "RouteKey": "$default"})
    assert world.http.served[api_id, "$default"][1].route_settings == {}


async def test_quick_create_target_is_changed_with_the_api(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    await world.call(
        "UpdateApi", {"ApiId": api_id, "Target": "https://example.com", "RouteKey": "GET /cakes"}
    )
    api, _ = world.http.served[api_id, "$default"]
    [integration], [route] = api.integrations.values(), api.routes.values()
    assert (integration.integration_type, integration.payload_format_version) == (
        "HTTP_PROXY",
        "1.0",
    )
    assert route.route_key == "GET /cakes"
    assert route.target == f"integrations/{integration.integration_id}"


async def test_managed_parts_are_not_changed_by_hand(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    [route] = world.row(api_id).routes.values()
    named = {"ApiId": api_id, "RouteId": route.route_id}
    with pytest.raises(BadRequestException):
        await world.call("UpdateRoute", {**named, "RouteKey": "GET /cakes"})
    await world.call("DeleteRoute", named)
    with pytest.raises(BadRequestException):
        await world.call(
            "DeleteIntegration", {"ApiId": api_id, "IntegrationId": route.integration_id}
        )


async def test_deleted_api_is_gone_whole(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    await world.call("DeleteApi", {"ApiId": api_id})
    assert world.http.served == {}
    assert world.tables.deployments.all(SCOPE) == []
    assert world.tables.stages.all(SCOPE) == []


async def test_restored_stages_are_those_that_were_served(world: V2World, tmp_path: Path) -> None:
    api_id = await world.api(Target=FUNCTION)
    socket_id = await world.api("WEBSOCKET")
    integration_id = await world.integration(
        socket_id, PayloadFormatVersion="1.0", IntegrationUri=INVOCATION
    )
    await world.route(socket_id, "$connect", Target=f"integrations/{integration_id}")
    await _stage(world, socket_id, AutoDeploy=True)
    served = [dict(plane.served) for plane in (world.http, world.sockets)]
    world.http.served.clear()
    world.sockets.served.clear()
    world.control.restore()
    assert [world.http.served, world.sockets.served] == served
    assert set(served[0]) == {(api_id, "$default")}
    assert set(served[1]) == {(socket_id, "dev")}


async def test_tags_deploy_nothing(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    before = world.http.deployments
    for path in (f"apis/{api_id}", f"apis/{api_id}/stages/$default"):
        arn = f"arn:aws:apigateway:eu-west-1::/{path}"
        await world.call("TagResource", {"ResourceArn": arn, "Tags": {"a": "1", "b": "2"}})
        await world.call("UntagResource", {"ResourceArn": arn, "TagKeys": ["a"]})
        assert await world.call("GetTags", {"ResourceArn": arn}) == {"Tags": {"b": "2"}}
    assert world.http.deployments == before


async def test_reset_forgets_what_authorizers_of_the_stage_said(world: V2World) -> None:
    api_id = await world.api(Target=FUNCTION)
    await world.call("ResetAuthorizersCache", {"ApiId": api_id, "StageName": "$default"})
    assert world.flushed == [(api_id, "$default")]


async def test_pages_hold_every_route_once(world: V2World) -> None:
    api_id = await world.api()
    keys = {f"GET /{number}" for number in range(7)}
    for key in keys:
        await world.route(api_id, key)
    found: list[str] = []
    params = {"ApiId": api_id, "MaxResults": "3"}
    while True:
        page = await world.call("GetRoutes", params)
        found += [each["RouteKey"] for each in page["Items"]]
        if "NextToken" not in page:
            break
        params["NextToken"] = page["NextToken"]
    assert (sorted(found), len(found)) == (sorted(keys), 7)


@pytest.mark.parametrize("params", [{"MaxResults": "0"}, {"MaxResults": "x"}, {"NextToken": "é"}])
async def test_page_that_is_none_is_refused(world: V2World, params: dict[str, str]) -> None:
    with pytest.raises(BadRequestException):
        await world.call("GetApis", params)


async def test_socket_routes_and_their_answers(world: V2World) -> None:
    api_id = await world.api("WEBSOCKET")
    integration_id = await world.integration(
        api_id,
        IntegrationType="AWS",
        IntegrationUri=INVOCATION,
        PayloadFormatVersion="1.0",
        RequestTemplates={"$default": "{}"},
    )
    route_id = await world.route(
        api_id,
        "cake",
        Target=f"integrations/{integration_id}",
        RouteResponseSelectionExpression="$default",
    )
    named = {"ApiId": api_id, "RouteId": route_id}
    await world.call("CreateRouteResponse", {**named, "RouteResponseKey": "$default"})
    await world.call(
        "CreateIntegrationResponse",
        {"ApiId": api_id, "IntegrationId": integration_id, "IntegrationResponseKey": "/5\\d\\d/"},
    )
    await _stage(world, api_id, AutoDeploy=True)
    api, _ = world.sockets.served[api_id, "dev"]
    [route], [integration] = api.routes.values(), api.integrations.values()
    assert [each.route_response_key for each in route.responses.values()] == ["$default"]
    assert [each.integration_response_key for each in integration.responses.values()] == [
        "/5\\d\\d/"
    ]
    shown = await world.call("GetIntegration", {"ApiId": api_id, "IntegrationId": integration_id})
    assert shown["IntegrationResponseSelectionExpression"] == (
        "${integration.response.body.errorMessage}"
    )


async def test_http_apis_have_no_answers_of_routes(world: V2World) -> None:
    api_id = await world.api()
    route_id = await world.route(api_id, "GET /a")
    with pytest.raises(BadRequestException):
        await world.call(
            "CreateRouteResponse",
            {"ApiId": api_id, "RouteId": route_id, "RouteResponseKey": "$default"},
        )


async def test_model_template_names_each_property(world: V2World) -> None:
    api_id = await world.api("WEBSOCKET")
    schema = (
        '{"type":"object","properties":{"name":{"type":"string"},"sizes":{"type":"array","items":'
        '{"type":"integer"}}}}'
    )
    params = {"ApiId": api_id, "Name": "Cake", "Schema": schema}
    model_id = (await world.call("CreateModel", params))["ModelId"]
    template = await world.call("GetModelTemplate", {"ApiId": api_id, "ModelId": model_id})
    assert '"name" : "$inputRoot.name"' in template["Value"]
    assert "#foreach($elem in $inputRoot.sizes)" in template["Value"]


async def test_subtype_needs_what_its_service_needs(world: V2World) -> None:
    api_id = await world.api()
    params = {
        "IntegrationSubtype": "SQS-SendMessage",
        "IntegrationUri": "",
        "PayloadFormatVersion": "1.0",
        "CredentialsArn": "arn:aws:iam::123456789012:role/r",
        "RequestParameters": {"QueueUrl": "$request.header.queue", "MessageBody": "$request.body"},
    }
    assert await world.integration(api_id, **params)
    for wrong in (
        {"CredentialsArn": ""},
        {"RequestParameters": {"QueueUrl": "u"}},
        {"RequestParameters": {"QueueUrl": "u", "MessageBody": "b", "Colour": "c"}},
        {"IntegrationSubtype": "SQS-SendCake"},
        {"PayloadFormatVersion": "2.0"},
    ):
        with pytest.raises(BadRequestException):
            await world.integration(api_id, **{**params, **wrong})


async def test_stage_that_served_nothing_is_deleted_too(world: V2World) -> None:
    api_id = await world.api()
    await _stage(world, api_id)
    await world.call("DeleteStage", {"ApiId": api_id, "StageName": "dev"})
    assert (await world.call("GetStages", {"ApiId": api_id}))["Items"] == []
