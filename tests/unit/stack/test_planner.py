"""What becomes of what: plans from templates, with no stack, store or loop in sight."""

from collections.abc import Mapping

import pytest

from fakes_stack import FAKE_FACTS, SCOPE, THING
from lamington.core.errors import AwsError
from lamington.stack.checks import check_template
from lamington.stack.entities import Incarnation
from lamington.stack.intrinsics import Evaluation, evaluation_of, pseudo_values
from lamington.stack.planner import (
    Create,
    Delete,
    Existing,
    Plan,
    Replace,
    Update,
    changes_between,
    plan,
    require_order,
)
from lamington.stack.providers.base import ResourceFacts
from lamington.stack.template import parse_template

TYPES: Mapping[str, ResourceFacts] = {THING: FAKE_FACTS, "Test::Fake::Other": FAKE_FACTS}


def evaluation(**resources: str) -> Evaluation:
    lines = [f"  {name}: {{Type: '{THING}', {text}}}" for name, text in resources.items()]
    template = parse_template("\n".join(("Resources:", *lines)))
    check_template(template)
    return evaluation_of(template, {}, pseudo_values(SCOPE, stack_id="id", stack_name="cake"))


class Standing:
    """A lookup over a template that stands: each resource gives its name."""

    def reference(self, logical_id: str) -> str:
        return f"id-{logical_id}"

    def attribute(self, logical_id: str, attribute: str) -> str:
        return f"{attribute}-of-{logical_id}"


def standing(after: Evaluation) -> dict[str, Existing]:
    """The resources of a template as they stand when all of it was made."""
    order = require_order(after)
    return {
        name: Existing(
            resource_type=each.resource_type,
            incarnation=Incarnation(
                token=name,
                physical_id=f"id-{name}",
                reference=f"id-{name}",
                attributes={"Arn": f"Arn-of-{name}", "Size": f"Size-of-{name}"},
                properties=after.properties(each, Standing()),
                dependencies=tuple(sorted(order[name])),
                deletion_policy=each.deletion_policy,
                update_replace_policy=each.update_replace_policy,
                metadata=each.metadata,
            ),
        )
        for name, each in after.resources.items()
    }


def planned(before: Evaluation, after: Evaluation) -> Plan:
    return plan(standing(before), after, TYPES)


def test_what_stands_needs_no_step() -> None:
    same = evaluation(A="Properties: {Size: 1}", B="Properties: {Link: !GetAtt A.Arn}")
    assert not planned(same, same)


def test_steps_come_in_an_order_that_holds() -> None:
    after = evaluation(A="Properties: {Link: !Ref B}", B="DependsOn: C", C="Properties: {}")
    steps = plan({}, after, TYPES).steps
    assert [step.logical_id for step in steps] == ["C", "B", "A"]
    assert all(isinstance(step, Create) for step in steps)
    assert steps[2].waits_for == {"B"}


def test_replacement_cascades_through_create_only_references() -> None:
    def chain(fixed: int) -> Evaluation:
        return evaluation(
            A=f"Properties: {{Fixed: {fixed}}}",
            B="Properties: {Fixed: !Ref A}",
            C="Properties: {Link: !GetAtt B.Arn}",
            D="Properties: {Link: x}",
        )

    steps = planned(chain(1), chain(2)).by_id
    assert {name: type(step) for name, step in steps.items()} == {
        "A": Replace,
        "B": Replace,
        "C": Update,
    }
    replaced = steps["B"]
    assert isinstance(replaced, Replace)
    assert replaced.is_certain
    assert replaced.changes[0].source == "ResourceReference"


def test_a_reference_to_what_is_updated_in_place_changes_nothing() -> None:
    def pair(size: int) -> Evaluation:
        return evaluation(A=f"Properties: {{Size: {size}}}", B="Properties: {Link: !Ref A}")

    assert list(planned(pair(1), pair(2)).by_id) == ["A"]


def test_an_attribute_of_what_is_updated_in_place_may_change_what_uses_it() -> None:
    def chain(size: int) -> Evaluation:
        return evaluation(
            A=f"Properties: {{Size: {size}}}",
            B="Properties: {Fixed: !GetAtt A.Size}",
            C="Properties: {Link: !Ref B}",
        )

    steps = planned(chain(1), chain(2)).by_id
    perhaps = steps["B"]
    assert isinstance(perhaps, Update)
    assert [(each.certain, each.recreation) for each in perhaps.changes] == [
        (False, "Conditionally")
    ]
    assert "C" in steps, "what uses B must look again, should B be replaced"


def test_waiting_goes_through_what_is_left_alone() -> None:
    def chain(size: int) -> Evaluation:
        return evaluation(
            A=f"Properties: {{Size: {size}}}",
            B="DependsOn: A",
            C=f"DependsOn: B, Properties: {{Size: {size}}}",
        )

    assert planned(chain(1), chain(2)).by_id["C"].waits_for == {"A"}


def test_deletes_come_last_and_after_what_needs_them() -> None:
    before = evaluation(A="Properties: {}", B="DependsOn: A", C="DependsOn: B")
    steps = planned(before, evaluation(D="Properties: {}")).steps
    assert [(type(step), step.logical_id) for step in steps] == [
        (Create, "D"),
        (Delete, "C"),
        (Delete, "B"),
        (Delete, "A"),
    ]
    assert steps[3].waits_for == {"B"}


@pytest.mark.parametrize(
    "text", ["Metadata: {a: 1}", "DeletionPolicy: Retain", "UpdateReplacePolicy: Retain"]
)
def test_what_stands_beside_the_properties_is_an_update(text: str) -> None:
    step = planned(evaluation(A="Properties: {}"), evaluation(A=text)).by_id["A"]
    assert isinstance(step, Update)
    assert step.changes[0].attribute == text.partition(":")[0]


def test_stack_tags_change_what_can_be_tagged() -> None:
    same = evaluation(A="Properties: {}")
    step = plan(standing(same), same, TYPES, tags_changed=True).by_id["A"]
    assert isinstance(step, Update)
    assert step.changes[0].attribute == "Tags"


def test_a_resource_keeps_its_type() -> None:
    before = standing(evaluation(A="Properties: {}"))
    other = {"A": Existing(resource_type="Test::Fake::Other", incarnation=before["A"].incarnation)}
    with pytest.raises(AwsError, match="Update of resource type is not permitted"):
        plan(other, evaluation(A="Properties: {}"), TYPES)


@pytest.mark.parametrize(
    ("previous", "desired", "recreation"),
    [
        ({"Size": 1}, {"Size": 2}, "Never"),
        ({}, {"Fixed": 1}, "Always"),
        ({"Fixed": 1}, {}, "Always"),
        ({"Nested": {"Fixed": 1, "Free": 1}}, {"Nested": {"Fixed": 1, "Free": 2}}, "Never"),
        ({"Nested": {"Fixed": 1}}, {"Nested": {"Fixed": 2}}, "Always"),
        ({"Nested": {"Fixed": 1}}, {}, "Always"),
    ],
)
def test_create_only_properties_force_replacement(
    previous: dict[str, object], desired: dict[str, object], recreation: str
) -> None:
    (change,) = changes_between(previous, desired, FAKE_FACTS)
    assert change.recreation == recreation


def test_true_and_one_are_not_the_same() -> None:
    assert changes_between({"Size": True}, {"Size": 1}, FAKE_FACTS)
    assert not changes_between({"Size": 1}, {"Size": 1}, FAKE_FACTS)
