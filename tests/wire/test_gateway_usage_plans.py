"""API keys, usage plans and throttles by boto3, and what requests get of them."""

import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine


def name_of(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


def value_of() -> str:
    return uuid.uuid4().hex


class Stage:
    """A mock API that needs a key, deployed as `dev`."""

    def __init__(self, engine: RunningEngine, *, keyed: bool = True) -> None:
        self.client: Any = engine.client("apigateway")
        self._endpoint = engine.endpoint_url
        self.api_id = self.client.create_rest_api(name=name_of("api"))["id"]
        [root] = self.client.get_resources(restApiId=self.api_id)["items"]
        method = {"restApiId": self.api_id, "resourceId": root["id"], "httpMethod": "GET"}
        self.client.put_method(**method, authorizationType="NONE", apiKeyRequired=keyed)
        self.client.put_integration(
            **method, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
        )
        self.client.put_method_response(**method, statusCode="200")
        self.client.put_integration_response(**method, statusCode="200")
        self.client.create_deployment(restApiId=self.api_id, stageName="dev")

    @property
    def url(self) -> str:
        return f"{self._endpoint}/_aws/execute-api/{self.api_id}/dev/"

    def get(self, value: str = "") -> tuple[int, bytes, str]:
        """Status, body and error type of a request with a key."""
        request = urllib.request.Request(self.url, headers={"X-API-Key": value} if value else {})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read(), ""
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read(), refused.headers["x-amzn-ErrorType"]

    def key(self, **members: Any) -> Any:
        return self.client.create_api_key(
            **{"name": name_of("key"), "enabled": True, "value": value_of(), **members}
        )

    def plan(self, *keys: Any, **members: Any) -> Any:
        stages = [{"apiId": self.api_id, "stage": "dev"}]
        plan = self.client.create_usage_plan(
            **{"name": name_of("plan"), "apiStages": stages, **members}
        )
        for key in keys:
            self.client.create_usage_plan_key(
                usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY"
            )
        return plan

    def update_plan(self, plan: Any, op: str, path: str, value: str = "") -> Any:
        return self.client.update_usage_plan(
            usagePlanId=plan["id"], patchOperations=[{"op": op, "path": path, "value": value}]
        )

    def update_stage(self, path: str, value: str) -> Any:
        return self.client.update_stage(
            restApiId=self.api_id,
            stageName="dev",
            patchOperations=[{"op": "replace", "path": path, "value": value}],
        )


@pytest.fixture
def stage(live_engine: RunningEngine) -> Stage:
    return Stage(live_engine)


def refused(call: Any, **params: Any) -> tuple[str, str]:
    """Code and message of a call that AWS refuses."""
    with pytest.raises(ClientError) as error:
        call(**params)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_key_lives_from_creation_to_deletion(stage: Stage) -> None:
    client = stage.client
    value = value_of()
    made = client.create_api_key(
        name="life", description="d", value=value, customerId="c1", tags={"a": "1"}
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["value"], made["enabled"], made["stageKeys"]) == (value, False, [])
    assert "value" not in client.get_api_key(apiKey=made["id"])
    assert client.get_api_key(apiKey=made["id"], includeValue=True)["value"] == value
    changed = client.update_api_key(
        apiKey=made["id"],
        patchOperations=[
            {"op": "replace", "path": "/enabled", "value": "true"},
            {"op": "replace", "path": "/name", "value": "other"},
            {"op": "replace", "path": "/description", "value": "new"},
            {"op": "replace", "path": "/customerId", "value": "c2"},
        ],
    )
    assert (changed["enabled"], changed["name"], changed["customerId"]) == (True, "other", "c2")
    client.delete_api_key(apiKey=made["id"])
    assert refused(client.get_api_key, apiKey=made["id"]) == (
        "NotFoundException",
        "Invalid API Key identifier specified",
    )


def test_key_without_a_value_gets_one_of_forty_characters(stage: Stage) -> None:
    made = stage.client.create_api_key(name="made")
    assert len(made["value"]) == 40
    assert made["value"].isalnum()


def test_keys_are_listed_by_name_customer_and_page(stage: Stage) -> None:
    prefix = name_of("listed")
    ids = {
        stage.client.create_api_key(name=f"{prefix}-{index}", customerId=prefix)["id"]
        for index in range(5)
    }
    pages = stage.client.get_paginator("get_api_keys").paginate(
        nameQuery=prefix, includeValues=True, PaginationConfig={"PageSize": 2}
    )
    found = [key for page in pages for key in page["items"]]
    assert {key["id"] for key in found} == ids
    assert all(key["value"] for key in found)
    [only] = stage.client.get_api_keys(nameQuery=f"{prefix}-3")["items"]
    assert "value" not in only
    assert len(stage.client.get_api_keys(customerId=prefix)["items"]) == 5


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("a" * 19, "BadRequestException", "API Key value should be at least 20 characters"),
        ("a" * 129, "BadRequestException", "API Key value exceeds maximum size of 128 characters"),
    ],
)
def test_value_has_its_limits(stage: Stage, value: str, code: str, message: str) -> None:
    assert refused(stage.client.create_api_key, value=value) == (code, message)


def test_value_is_unique(stage: Stage) -> None:
    key = stage.key()
    assert refused(stage.client.create_api_key, value=key["value"]) == (
        "ConflictException",
        "API Key already exists",
    )


def test_patch_path_that_is_none_is_told_with_those_that_are(stage: Stage) -> None:
    key = stage.key()
    code, message = refused(
        stage.client.update_api_key,
        apiKey=key["id"],
        patchOperations=[{"op": "replace", "path": "/value", "value": "x"}],
    )
    assert (code, message) == (
        "BadRequestException",
        "Invalid patch path  '/value' specified for op 'replace'. Must be one of: "
        "[/customerId, /description, /enabled, /name]",
    )


def test_keys_are_imported_into_plans_and_open_their_stages(stage: Stage) -> None:
    plan = stage.plan()
    first, second = value_of(), value_of()
    body = (
        "Name,key,description,Enabled,usageplanIds,colour\n"
        f'imported-1,{first},one,TRUE,"{plan["id"]}",red\n'
        f"imported-2,{second},,false,,\n"
    )
    done = stage.client.import_api_keys(body=body.encode(), format="csv", failOnWarnings=True)
    assert done["warnings"] == []
    assert len(done["ids"]) == 2
    assert stage.get(first)[0] == 200
    assert stage.get(second)[0] == 403
    again = stage.client.import_api_keys(body=f"key,name\n{first},renamed\n".encode(), format="csv")
    assert again["ids"] == done["ids"][:1]
    assert stage.client.get_api_key(apiKey=done["ids"][0])["name"] == "renamed"


def test_import_with_warnings_fails_where_that_is_asked_for(stage: Stage) -> None:
    value = value_of()
    body = f"name,key,usageplanIds\ngood,{value},\nbad,short,\nlost,{value_of()},nowhere\n".encode()
    code, message = refused(
        stage.client.import_api_keys, body=body, format="csv", failOnWarnings=True
    )
    assert code == "BadRequestException"
    assert "at least 30 characters" in message
    assert stage.client.get_api_keys(nameQuery="good")["items"] == []
    done = stage.client.import_api_keys(body=body, format="csv")
    assert len(done["ids"]) == 1
    assert len(done["warnings"]) == 2
    code, message = refused(stage.client.import_api_keys, body=b"name\nx\n", format="csv")
    assert (code, message) == ("BadRequestException", "Missing required columns: key")


def test_request_needs_a_key_of_a_plan_of_its_stage(stage: Stage) -> None:
    forbidden = (403, b'{"message":"Forbidden"}', "ForbiddenException")
    key = stage.key()
    assert stage.get() == forbidden
    assert stage.get(key["value"]) == forbidden
    plan = stage.plan(key)
    assert stage.get(key["value"])[0] == 200
    stage.client.update_api_key(
        apiKey=key["id"],
        patchOperations=[{"op": "replace", "path": "/enabled", "value": "false"}],
    )
    assert stage.get(key["value"]) == forbidden
    stage.client.update_api_key(
        apiKey=key["id"],
        patchOperations=[{"op": "replace", "path": "/enabled", "value": "true"}],
    )
    assert stage.get(key["value"])[0] == 200
    stage.update_plan(plan, "remove", "/apiStages", f"{stage.api_id}:dev")
    assert stage.get(key["value"]) == forbidden
    stage.update_plan(plan, "add", "/apiStages", f"{stage.api_id}:dev")
    assert stage.get(key["value"])[0] == 200
    stage.client.delete_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"])
    assert stage.get(key["value"]) == forbidden


def test_plan_lives_from_creation_to_deletion(stage: Stage) -> None:
    client = stage.client
    plan = client.create_usage_plan(
        name="life",
        description="d",
        apiStages=[
            {
                "apiId": stage.api_id,
                "stage": "dev",
                "throttle": {"/pets/GET": {"rateLimit": 2.5, "burstLimit": 3}},
            }
        ],
        throttle={"rateLimit": 10.0, "burstLimit": 20},
        quota={"limit": 500, "offset": 0, "period": "MONTH"},
        tags={"a": "1"},
    )
    assert plan["ResponseMetadata"]["HTTPStatusCode"] == 201
    shown = client.get_usage_plan(usagePlanId=plan["id"])
    assert shown["quota"] == {"limit": 500, "offset": 0, "period": "MONTH"}
    assert shown["throttle"] == {"burstLimit": 20, "rateLimit": 10.0}
    assert shown["apiStages"][0]["throttle"] == {"/pets/GET": {"burstLimit": 3, "rateLimit": 2.5}}
    code, message = refused(client.delete_usage_plan, usagePlanId=plan["id"])
    assert (code, message) == (
        "BadRequestException",
        f"Cannot delete Usage Plan {plan['id']} because there are API Stages associated with it,"
        f" including {stage.api_id}:dev",
    )
    stage.update_plan(plan, "remove", "/apiStages", f"{stage.api_id}:dev")
    client.delete_usage_plan(usagePlanId=plan["id"])
    assert refused(client.get_usage_plan, usagePlanId=plan["id"]) == (
        "NotFoundException",
        "Invalid Usage Plan ID specified",
    )


def test_plan_is_changed_by_the_paths_that_clients_of_aws_use(stage: Stage) -> None:
    plan = stage.plan()
    name = f"{stage.api_id}:dev"
    changed = stage.client.update_usage_plan(
        usagePlanId=plan["id"],
        patchOperations=[
            {"op": "replace", "path": "/name", "value": "renamed"},
            {"op": "replace", "path": "/description", "value": "new"},
            {"op": "replace", "path": "/productCode", "value": "code"},
            {"op": "add", "path": "/throttle/rateLimit", "value": "5.5"},
            {"op": "add", "path": "/throttle/burstLimit", "value": "7"},
            {"op": "add", "path": "/quota/limit", "value": "9"},
            {"op": "add", "path": "/quota/offset", "value": "1"},
            {"op": "add", "path": "/quota/period", "value": "WEEK"},
            {
                "op": "replace",
                "path": f"/apiStages/{name}/throttle/~1pets~1{{id}}/GET/rateLimit",
                "value": "1.5",
            },
            {
                "op": "replace",
                "path": f"/apiStages/{name}/throttle//pets/{{id}}/GET/burstLimit",
                "value": "2",
            },
        ],
    )
    assert (changed["name"], changed["productCode"]) == ("renamed", "code")
    assert changed["throttle"] == {"rateLimit": 5.5, "burstLimit": 7}
    assert changed["quota"] == {"limit": 9, "offset": 1, "period": "WEEK"}
    [shown] = changed["apiStages"]
    assert shown["throttle"] == {"/pets/{id}/GET": {"rateLimit": 1.5, "burstLimit": 2}}
    stage.update_plan(plan, "remove", f"/apiStages/{name}/throttle/~1pets~1{{id}}/GET")
    stage.update_plan(plan, "remove", "/quota")
    bare = stage.update_plan(plan, "remove", "/throttle")
    assert "quota" not in bare
    assert "throttle" not in bare
    assert "throttle" not in bare["apiStages"][0]


def test_removing_a_stage_by_its_path_is_refused_as_aws_does(stage: Stage) -> None:
    plan = stage.plan()
    path = f"/apiStages/{stage.api_id}:dev"
    code, message = refused(stage.update_plan, plan=plan, op="remove", path=path)
    assert (code, message) == (
        "BadRequestException",
        f"Invalid patch path  '{path}' specified for op 'remove'. Must be one of: [/apiStages,"
        " /quota, /throttle, /productCode,"
        " /apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>,"
        " /apiStages/<apidId:stageName>/throttle]",
    )
    assert refused(stage.update_plan, plan=plan, op="remove", path="/apiStages") == (
        "BadRequestException",
        "Invalid API Stage specified",
    )


def test_plan_is_for_stages_that_are_there(stage: Stage) -> None:
    create = stage.client.create_usage_plan
    assert refused(create, name="p", apiStages=[{"apiId": "none", "stage": "dev"}]) == (
        "NotFoundException",
        "API Stage not found: none:dev",
    )
    assert refused(create, name="p", apiStages=[{"apiId": "", "stage": "dev"}]) == (
        "BadRequestException",
        "Invalid API Stage {api: %s, stage: %s} specified for usageplan %s",
    )


def test_deleted_stage_is_no_more_in_its_plans(stage: Stage) -> None:
    plan = stage.plan()
    stage.client.delete_stage(restApiId=stage.api_id, stageName="dev")
    assert stage.client.get_usage_plan(usagePlanId=plan["id"])["apiStages"] == []
    stage.client.delete_usage_plan(usagePlanId=plan["id"])


@pytest.mark.parametrize(
    ("quota", "part"),
    [
        ({"limit": 1, "offset": 1, "period": "DAY"}, "must be zero in the DAY period"),
        ({"limit": 1, "offset": 7, "period": "WEEK"}, "between 0 and 6 inclusive in the WEEK"),
        ({"limit": 1, "offset": 28, "period": "MONTH"}, "between 0 and 27 inclusive in the MONTH"),
        ({"limit": 1, "period": "YEAR"}, "period must be one of"),
    ],
)
def test_quota_has_its_limits(stage: Stage, quota: Any, part: str) -> None:
    code, message = refused(stage.client.create_usage_plan, name="p", quota=quota)
    assert code == "BadRequestException"
    assert part in message


def test_plan_keys_are_listed_found_and_taken_away(stage: Stage) -> None:
    client = stage.client
    keys = [stage.key() for _ in range(3)]
    plan = stage.plan(*keys)
    found = client.get_usage_plan_keys(usagePlanId=plan["id"], limit=2)
    rest = client.get_usage_plan_keys(usagePlanId=plan["id"], position=found["position"])
    assert {each["id"] for each in found["items"] + rest["items"]} == {key["id"] for key in keys}
    shown = client.get_usage_plan_key(usagePlanId=plan["id"], keyId=keys[0]["id"])
    shown.pop("ResponseMetadata")
    assert shown == {
        "id": keys[0]["id"],
        "type": "API_KEY",
        "value": keys[0]["value"],
        "name": keys[0]["name"],
    }
    [only] = client.get_usage_plan_keys(usagePlanId=plan["id"], nameQuery=keys[1]["name"])["items"]
    assert only["id"] == keys[1]["id"]
    [mine] = client.get_usage_plans(keyId=keys[2]["id"])["items"]
    assert mine["id"] == plan["id"]
    client.delete_usage_plan_key(usagePlanId=plan["id"], keyId=keys[0]["id"])
    code, _ = refused(client.get_usage_plan_key, usagePlanId=plan["id"], keyId=keys[0]["id"])
    assert code == "NotFoundException"
    client.delete_api_key(apiKey=keys[1]["id"])
    left = client.get_usage_plan_keys(usagePlanId=plan["id"])["items"]
    assert [each["id"] for each in left] == [keys[2]["id"]]


def test_key_has_one_plan_for_a_stage(stage: Stage) -> None:
    key = stage.key()
    plan = stage.plan(key)
    create = stage.client.create_usage_plan_key
    again = {"usagePlanId": plan["id"], "keyId": key["id"], "keyType": "API_KEY"}
    assert refused(create, **again)[0] == "ConflictException"
    other = stage.plan()
    assert refused(create, **{**again, "usagePlanId": other["id"]})[0] == "ConflictException"
    elsewhere = stage.plan(key, apiStages=[])
    add = {"plan": elsewhere, "op": "add", "path": "/apiStages", "value": f"{stage.api_id}:dev"}
    assert refused(stage.update_plan, **add)[0] == "ConflictException"


def test_plan_throttles_its_keys(stage: Stage) -> None:
    key = stage.key()
    plan = stage.plan(key, throttle={"rateLimit": 0.001, "burstLimit": 2})
    statuses = [stage.get(key["value"])[0] for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert stage.get(key["value"]) == (
        429,
        b'{"message":"Too Many Requests"}',
        "TooManyRequestsException",
    )
    stage.update_plan(plan, "replace", "/throttle/burstLimit", "100")
    assert stage.get(key["value"])[0] == 200


def test_quota_ends_and_is_extended(stage: Stage) -> None:
    key = stage.key()
    plan = stage.plan(key, quota={"limit": 2, "period": "MONTH"})
    assert [stage.get(key["value"])[0] for _ in range(3)] == [200, 200, 429]
    assert stage.get(key["value"]) == (
        429,
        b'{"message":"Limit Exceeded"}',
        "LimitExceededException",
    )
    today = time.strftime("%Y-%m-%d", time.gmtime())
    used = stage.client.get_usage(usagePlanId=plan["id"], startDate=today, endDate=today)
    assert used["items"] == {key["id"]: [[2, 0]]}
    extended = stage.client.update_usage(
        usagePlanId=plan["id"],
        keyId=key["id"],
        patchOperations=[{"op": "replace", "path": "/remaining", "value": "5"}],
    )
    assert extended["items"] == {key["id"]: [[2, 5]]}
    assert (extended["startDate"], extended["endDate"]) == (today, today)
    assert stage.get(key["value"])[0] == 200
    code, message = refused(
        stage.client.update_usage,
        usagePlanId=plan["id"],
        keyId=key["id"],
        patchOperations=[{"op": "add", "path": "/remaining", "value": "5"}],
    )
    assert (code, message) == (
        "BadRequestException",
        "Invalid patch path  '/remaining' specified for op 'add'. Must be one of: []",
    )


def test_usage_has_a_pair_for_each_day(stage: Stage) -> None:
    key = stage.key()
    plan = stage.plan(key, quota={"limit": 9, "period": "DAY"})
    usage = stage.client.get_usage(
        usagePlanId=plan["id"], keyId=key["id"], startDate="2020-01-01", endDate="2020-01-03"
    )
    assert usage["items"] == {key["id"]: [[0, 9]] * 3}
    for start, end in (("2020-01-02", "2020-01-01"), ("2020-01-01", "2020-06-01"), ("x", "y")):
        code, _ = refused(
            stage.client.get_usage, usagePlanId=plan["id"], startDate=start, endDate=end
        )
        assert code == "BadRequestException"


def test_keys_and_plans_have_tags(stage: Stage) -> None:
    client = stage.client
    key = stage.key(tags={"a": "1"})
    plan = stage.plan(tags={"b": "2"})
    for kind, row, tags in (("apikeys", key, {"a": "1"}), ("usageplans", plan, {"b": "2"})):
        arn = f"arn:aws:apigateway:us-east-1::/{kind}/{row['id']}"
        assert client.get_tags(resourceArn=arn)["tags"] == tags
        client.tag_resource(resourceArn=arn, tags={"c": "3"})
        client.untag_resource(resourceArn=arn, tagKeys=list(tags))
        assert client.get_tags(resourceArn=arn)["tags"] == {"c": "3"}


def test_throttle_of_a_stage_acts_when_it_is_set(live_engine: RunningEngine) -> None:
    stage = Stage(live_engine, keyed=False)
    assert [stage.get()[0] for _ in range(5)] == [200] * 5
    stage.update_stage("/*/*/throttling/rateLimit", "0.001")
    stage.update_stage("/*/*/throttling/burstLimit", "2")
    assert [stage.get()[0] for _ in range(4)] == [200, 200, 429, 429]
    stage.update_stage("/~1/GET/throttling/burstLimit", "5")
    assert [stage.get()[0] for _ in range(4)] == [200, 200, 200, 429]
    stage.update_stage("/~1/GET/throttling/rateLimit", "0")
    assert stage.get()[0] == 429


def test_many_clients_at_once_get_what_the_bucket_holds(live_engine: RunningEngine) -> None:
    stage = Stage(live_engine, keyed=False)
    stage.update_stage("/*/*/throttling/rateLimit", "0.001")
    stage.update_stage("/*/*/throttling/burstLimit", "50")
    statuses: Counter[int] = Counter()

    def ask() -> None:
        for _ in range(20):
            statuses[stage.get()[0]] += 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {200: 50, 429: 110}
