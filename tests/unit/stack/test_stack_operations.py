"""What the CloudFormation API takes, refuses and shows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes_stack import SCOPE, THING, StackWorld
from lamington.core.aws import Scope
from lamington.core.errors import AwsError
from lamington.stack.entities import StackEvent, StackTables, TemplateError

ONE = f"""
Description: one thing
Parameters:
  Size: {{Type: Number, Default: 1}}
  Secret: {{Type: String, Default: s3cret, NoEcho: true}}
Resources:
  A: {{Type: {THING}, Properties: {{Size: !Ref Size, Link: !Ref Secret}}}}
Outputs:
  Arn: {{Value: !GetAtt A.Arn, Description: its ARN}}
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[StackWorld]:
    made = StackWorld(tmp_path)
    yield made
    await made.operations.close()
    made.store.close()


async def refusal(world: StackWorld, operation: str, **params: object) -> tuple[str, str]:
    with pytest.raises(AwsError) as caught:
        await world.call(operation, **params)
    return caught.value.code, caught.value.message


def size(value: str) -> list[dict[str, str]]:
    return [{"ParameterKey": "Size", "ParameterValue": value}]


async def test_a_stack_is_described_as_aws_does(world: StackWorld) -> None:
    await world.create(ONE, Tags=[{"Key": "team", "Value": "cake"}])
    stack = await world.stack()
    physical_id = (await world.physical_ids())["A"]
    assert stack["Description"] == "one thing"
    assert stack["Parameters"] == [
        {"ParameterKey": "Size", "ParameterValue": "1"},
        {"ParameterKey": "Secret", "ParameterValue": "****"},
    ]
    assert stack["Outputs"] == [
        {"OutputKey": "Arn", "Description": "its ARN", "OutputValue": f"arn:{physical_id}"}
    ]
    assert stack["Tags"] == [{"Key": "team", "Value": "cake"}]
    assert "LastUpdatedTime" not in stack
    assert stack["DriftInformation"] == {"StackDriftStatus": "NOT_CHECKED"}


async def test_a_name_is_taken_once(world: StackWorld) -> None:
    await world.create(ONE)
    code, message = await refusal(world, "CreateStack", StackName="cake", TemplateBody=ONE)
    assert (code, message) == ("AlreadyExistsException", "Stack [cake] already exists")


async def test_a_token_repeats_the_first_answer(world: StackWorld) -> None:
    params = {"StackName": "cake", "TemplateBody": ONE, "ClientRequestToken": "t-1"}
    first = await world.call("CreateStack", **params)
    assert await world.call("CreateStack", **params) == first
    await world.operations.wait("cake", SCOPE)
    assert {event["ClientRequestToken"] for event in await world.events()} == {"t-1"}
    code, _ = await refusal(world, "UpdateStack", **params)
    assert code == "TokenAlreadyExistsException"


async def test_unknown_stacks_are_told_in_each_operations_words(world: StackWorld) -> None:
    expected = {
        "DescribeStacks": "Stack with id no does not exist",
        "GetTemplate": "Stack with id no does not exist",
        "DescribeStackEvents": "Stack [no] does not exist",
        "UpdateStack": "Stack [no] does not exist",
    }
    for operation, message in expected.items():
        assert await refusal(world, operation, StackName="no") == ("ValidationError", message)
    _, message = await refusal(
        world, "DescribeStackResource", StackName="no", LogicalResourceId="A"
    )
    assert message == "Stack 'no' does not exist"
    assert await world.call("DeleteStack", StackName="no") == {}


async def test_an_unchanged_stack_is_not_updated(world: StackWorld) -> None:
    await world.create(ONE)
    changed_words = ONE.replace("one thing", "a thing").replace("Default: 1", "Default: '1'")
    for body in (ONE, changed_words):
        assert await refusal(world, "UpdateStack", StackName="cake", TemplateBody=body) == (
            "ValidationError",
            "No updates are to be performed.",
        )


async def test_outputs_and_tags_alone_are_an_update(world: StackWorld) -> None:
    await world.create(ONE)
    assert await world.update(ONE.replace("its ARN", "the ARN")) == "UPDATE_COMPLETE"
    tags = [{"Key": "k", "Value": "v"}]
    assert await world.update(ONE.replace("its ARN", "the ARN"), Tags=tags) == "UPDATE_COMPLETE"
    assert (await world.stack())["Tags"] == tags
    assert ("update", "A") in world.world.calls


async def test_an_update_takes_the_default_where_it_names_no_value(world: StackWorld) -> None:
    await world.create(ONE, Parameters=size("5"))
    previous = [{"ParameterKey": "Size", "UsePreviousValue": True}]
    assert (
        await refusal(world, "UpdateStack", StackName="cake", TemplateBody=ONE, Parameters=previous)
    )[1] == "No updates are to be performed."
    assert await world.update(ONE) == "UPDATE_COMPLETE"
    assert (await world.stack())["Parameters"][0]["ParameterValue"] == "1"


async def test_a_failed_update_shows_the_old_parameters_again(world: StackWorld) -> None:
    await world.create(ONE, Parameters=size("5"))
    more = ONE.replace(
        "Resources:", f"Resources:\n  B: {{Type: {THING}, Properties: {{Fail: create}}}}"
    )
    assert await world.update(more, Parameters=size("6")) == "UPDATE_ROLLBACK_COMPLETE"
    assert (await world.stack())["Parameters"][0]["ParameterValue"] == "5"


async def test_a_resource_keeps_its_type(world: StackWorld) -> None:
    await world.create(ONE)
    _, message = await refusal(
        world, "UpdateStack", StackName="cake", TemplateBody=ONE.replace(THING, "Test::Fake::Other")
    )
    assert message == (
        "Update of resource type is not permitted. The new template modifies resource type of the"
        " following resources: [A]"
    )


async def test_termination_protection_refuses_a_delete(world: StackWorld) -> None:
    await world.create(ONE, EnableTerminationProtection=True)
    assert (await refusal(world, "DeleteStack", StackName="cake"))[1] == (
        "Stack [cake] cannot be deleted while TerminationProtection is enabled"
    )
    await world.call(
        "UpdateTerminationProtection", StackName="cake", EnableTerminationProtection=False
    )
    assert await world.delete() == "DELETE_COMPLETE"


async def test_regions_and_accounts_do_not_see_each_other(world: StackWorld) -> None:
    await world.create(ONE)
    other = Scope(account_id="222222222222", region="eu-west-1")
    listed = await world.operations.operations()["cloudformation:ListStacks"]({}, other)
    assert listed == {"StackSummaries": []}


async def test_deleted_stacks_are_listed_and_found_by_id(world: StackWorld) -> None:
    await world.create(ONE)
    stack_id = (await world.stack())["StackId"]
    await world.delete()
    assert (await world.call("DescribeStacks"))["Stacks"] == []
    listed = await world.call("ListStacks", StackStatusFilter=["DELETE_COMPLETE"])
    assert [each["StackId"] for each in listed["StackSummaries"]] == [stack_id]
    assert set(await world.physical_ids(stack_id)) == {"A"}


async def test_events_come_in_pages_newest_first(world: StackWorld) -> None:
    body = "Resources:\n" + "".join(f"  R{n}: {{Type: {THING}}}\n" for n in range(60))
    await world.create(body)
    page = await world.call("DescribeStackEvents", StackName="cake")
    assert len(page["StackEvents"]) == 100
    assert page["StackEvents"][0]["ResourceStatus"] == "CREATE_COMPLETE"
    assert len(await world.events()) == 60 * 3 + 2


async def test_a_template_may_come_from_a_bucket(world: StackWorld) -> None:
    world.objects["bucket/a/b.yaml"] = ONE.encode()
    for name, url in (
        ("one", "https://bucket.s3.eu-west-1.amazonaws.com/a/b.yaml"),
        ("two", "https://s3.amazonaws.com/bucket/a/b.yaml"),
        ("three", "http://localhost:4566/bucket/a/b.yaml"),
    ):
        await world.call("CreateStack", StackName=name, TemplateURL=url)
        assert await world.operations.wait(name, SCOPE) == "CREATE_COMPLETE"
    assert (await world.call("GetTemplate", StackName="one"))["TemplateBody"] == ONE


async def test_validate_template_tells_parameters(world: StackWorld) -> None:
    told = await world.call("ValidateTemplate", TemplateBody=ONE)
    assert told["Parameters"] == [
        {"ParameterKey": "Size", "DefaultValue": "1", "NoEcho": False},
        {"ParameterKey": "Secret", "DefaultValue": "s3cret", "NoEcho": True},
    ]
    summary = await world.call("GetTemplateSummary", TemplateBody=ONE)
    assert summary["ResourceTypes"] == [THING]


async def test_template_errors_say_where(world: StackWorld) -> None:
    with pytest.raises(TemplateError) as caught:
        await world.call("ValidateTemplate", TemplateBody=ONE.replace("!Ref Size", "!Ref Nope"))
    assert str(caught.value.where) == "template:7:51"


async def test_subscribers_hear_each_event_once_it_is_written(world: StackWorld) -> None:
    heard: list[StackEvent] = []
    stop = world.operations.subscribe(heard.append)
    await world.create(ONE)
    stop()
    await world.delete()
    assert [event.status for event in heard] == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_COMPLETE",
        "CREATE_COMPLETE",
    ]


async def test_a_stack_deleted_long_ago_is_forgotten(world: StackWorld) -> None:
    await world.create(ONE)
    stack_id = (await world.stack())["StackId"]
    await world.delete()
    await world.clock.advance(89 * 86_400)
    await world.operations.recover()
    assert (await world.stack(stack_id))["StackStatus"] == "DELETE_COMPLETE"
    await world.clock.advance(2 * 86_400)
    await world.operations.recover()
    assert (await world.call("ListStacks"))["StackSummaries"] == []
    assert world.store.database.execute("SELECT count(*) FROM stack_events").fetchone() == (0,)


async def test_old_events_go_when_there_are_too_many(world: StackWorld) -> None:
    await world.create(ONE)
    stack = StackTables(world.store).find("cake", SCOPE)
    assert stack is not None
    StackTables(world.store).forget_events(SCOPE, stack, 2)
    assert await world.story() == ["A CREATE_COMPLETE", "cake CREATE_COMPLETE"]


async def test_large_properties_are_left_out_of_events(world: StackWorld) -> None:
    await world.create(ONE, Parameters=[{"ParameterKey": "Secret", "ParameterValue": "x" * 4090}])
    assert all("ResourceProperties" not in event for event in await world.events())


async def test_a_stack_may_come_by_change_set(world: StackWorld) -> None:
    params = {"StackName": "cake", "ChangeSetName": "first"}
    await world.call("CreateChangeSet", **params, TemplateBody=ONE, ChangeSetType="CREATE")
    assert (await world.stack())["StackStatus"] == "REVIEW_IN_PROGRESS"
    told = await world.call("DescribeChangeSet", **params)
    assert (told["Status"], told["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert told["Changes"] == [
        {
            "Type": "Resource",
            "ResourceChange": {
                "Action": "Add",
                "LogicalResourceId": "A",
                "ResourceType": THING,
                "Scope": [],
                "Details": [],
            },
        }
    ]
    await world.call("ExecuteChangeSet", **params)
    assert await world.operations.wait("cake", SCOPE) == "CREATE_COMPLETE"
    assert (await world.story())[:2] == [
        "cake REVIEW_IN_PROGRESS User Initiated",
        "cake CREATE_IN_PROGRESS User Initiated",
    ]
    assert await refusal(world, "ExecuteChangeSet", **params) == (
        "InvalidChangeSetStatus",
        f"ChangeSet [{told['ChangeSetId']}] cannot be executed in its current status of"
        " [EXECUTE_COMPLETE]",
    )


async def test_a_change_set_says_what_changes_and_why(world: StackWorld) -> None:
    body = f"""
Parameters: {{P: {{Type: String, Default: a}}}}
Resources:
  A: {{Type: {THING}, Properties: {{Fixed: !Ref P}}}}
  B: {{Type: {THING}, Properties: {{Link: !Ref A}}}}
  C: {{Type: {THING}, Properties: {{Size: 1}}}}
  D: {{Type: {THING}, Properties: {{Link: !GetAtt C.Arn}}}}
  E: {{Type: {THING}}}
"""
    await world.create(body)
    after = body.replace("Size: 1", "Size: 2").replace("Default: a", "Default: b")
    params = {"StackName": "cake", "ChangeSetName": "next"}
    await world.call(
        "CreateChangeSet", **params, TemplateBody=after.replace(f"  E: {{Type: {THING}}}\n", "")
    )
    changes = {
        each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"]
        for each in (await world.call("DescribeChangeSet", **params))["Changes"]
    }
    assert {name: each["Action"] for name, each in changes.items()} == {
        "A": "Modify",
        "B": "Modify",
        "C": "Modify",
        "D": "Modify",
        "E": "Remove",
    }
    assert changes["A"]["Replacement"] == "True"
    assert changes["A"]["Details"][0]["CausingEntity"] == "P"
    assert changes["B"]["Replacement"] == "False"
    assert changes["B"]["Details"][0]["ChangeSource"] == "ResourceReference"
    assert changes["D"]["Details"][0] == {
        "Target": {"Attribute": "Properties", "Name": "Link", "RequiresRecreation": "Never"},
        "Evaluation": "Dynamic",
        "ChangeSource": "ResourceAttribute",
        "CausingEntity": "C.Arn",
    }


async def test_a_change_set_without_changes_fails(world: StackWorld) -> None:
    await world.create(ONE)
    params = {"StackName": "cake", "ChangeSetName": "none"}
    await world.call("CreateChangeSet", **params, TemplateBody=ONE)
    told = await world.call("DescribeChangeSet", **params)
    assert told["StatusReason"] == (
        "The submitted information didn't contain changes. Submit different information to create"
        " a change set."
    )
    assert (await refusal(world, "ExecuteChangeSet", **params))[0] == "InvalidChangeSetStatus"
    await world.call("DeleteChangeSet", **params)
    assert (await world.call("ListChangeSets", StackName="cake"))["Summaries"] == []
    assert await refusal(world, "DescribeChangeSet", **params) == (
        "ChangeSetNotFound",
        "ChangeSet [none] does not exist",
    )
