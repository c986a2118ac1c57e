"""Facts and names that providers share."""

from dataclasses import replace

from fakes_stack import fake_context
from lamington.stack.providers.base import ResourceFacts


def test_the_same_token_gives_the_same_name() -> None:
    context = fake_context()
    assert context.physical_name() == context.physical_name()
    assert context.physical_name() != replace(context, token="other").physical_name()


def test_names_are_cut_with_their_suffix_whole() -> None:
    context = replace(fake_context("L" * 100), stack_name="s" * 100)
    name = context.physical_name(63)
    stack, logical, suffix = name.split("-")
    assert (len(name), len(stack), len(logical), len(suffix)) == (63, 25, 24, 12)


def test_a_short_part_leaves_its_room_to_the_other() -> None:
    context = replace(fake_context("L" * 100), stack_name="s" * 11)
    assert len(context.physical_name(63).split("-")[1]) == 38


def test_names_may_be_lower_case() -> None:
    assert fake_context().physical_name(lowercase=True).startswith("cake-thing-")


def test_scalars_are_converted_where_they_can_be() -> None:
    facts = ResourceFacts(
        scalars={"Size": int, "Map.*": str, "On": bool, "List.*.Value": str, "Ratio": float}
    )
    given = {
        "Size": "12",
        "Map": {"a": 1, "b": True},
        "On": "true",
        "List": [{"Value": 2}],
        "Ratio": "0.5",
    }
    assert facts.converted(given) == {
        "Size": 12,
        "Map": {"a": "1", "b": "true"},
        "On": True,
        "List": [{"Value": "2"}],
        "Ratio": 0.5,
    }
    assert given["Map"] == {"a": 1, "b": True}
    assert facts.converted({"Size": "many"}) == {"Size": "many"}


def test_problems_are_in_cloudformations_words() -> None:
    facts = ResourceFacts(required=frozenset({"Code"}), properties=frozenset({"Code"}))
    assert facts.problems({"Foo": 1}) == [
        "#: required key [Code] not found",
        "#: extraneous key [Foo] is not permitted",
    ]
