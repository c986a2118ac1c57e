"""YAML and JSON to values that know where they stand."""

from textwrap import dedent

import pytest

from lamington.core.documents import AliasError, load_document
from lamington.core.errors import UsageError


def place(text: str, *path: str | int, intrinsics: bool = False) -> tuple[int, int]:
    position = load_document(dedent(text), "f", intrinsics=intrinsics).position(path)
    return position.line, position.column


def problem(text: str, *, aliases: bool = True) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_document(text, "f", aliases=aliases)
    return caught.value


def test_dates_and_leading_zeros_stay_text() -> None:
    value = load_document("[2012-10-17, 012345678901, 000000000000, 12:30, 1_000]", "f").value
    assert value == ["2012-10-17", "012345678901", "000000000000", "12:30", "1_000"]


def test_scalars_are_those_of_yaml() -> None:
    value = load_document("[1, -2, 0x10, 1.5, yes, Off, ~, null, 'yes', .inf, '']", "f").value
    assert value == [1, -2, 16, 1.5, True, False, None, None, "yes", ".inf", ""]


def test_map_keys_are_text() -> None:
    assert load_document("200: a\nyes: b", "f").value == {"200": "a", "yes": "b"}


def test_short_forms_become_long_forms() -> None:
    text = "a: !Ref X\nb: !GetAtt A.B.C\nc: !Join [',', [!Sub '${X}', 12]]\nd: !Ref 012"
    assert load_document(text, "f", intrinsics=True).value == {
        "a": {"Ref": "X"},
        "b": {"Fn::GetAtt": ["A", "B.C"]},
        "c": {"Fn::Join": [",", [{"Fn::Sub": "${X}"}, 12]]},
        "d": {"Ref": "012"},
    }


def test_unknown_tags_are_refused_with_their_place() -> None:
    error = problem("a: !Ref X")
    assert str(error) == "f:1:4: the tag `!Ref` is not known"


def test_tags_of_the_caller_are_read_by_it() -> None:
    value = load_document("a: !env HOME", "f", tags=lambda tag, value: f"{tag} {value}").value
    assert value == {"a": "!env HOME"}


def test_merge_keys_give_way_to_what_is_written() -> None:
    text = "base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}"
    assert load_document(text, "f").value["use"] == {"x": 1, "y": 3}


def test_equal_keys_are_refused_in_yaml_and_the_last_counts_in_json() -> None:
    error = problem("a: 1\nb: 2\na: 3")
    assert str(error) == "f:3:1: the key `a` is given twice"
    assert load_document('{"a": 1, "a": 2}', "f").value == {"a": 2}


def test_aliases_can_be_refused() -> None:
    error = problem("a: &x [1]\nb: *x", aliases=False)
    assert isinstance(error, AliasError)
    assert str(error.where) == "f:2:4"


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too large" in problem("\n".join(lines)).message
    assert "too deeply" in problem("a: &a [*a]").message


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": }', "f:1:7"),
        ('{"a": 1,\n "b" 2}', "f:2:6"),
        ("a: [1", "f:2:1"),
        ("a: b: c", "f:1:5"),
    ],
)
def test_what_is_not_well_formed_says_where(text: str, where: str) -> None:
    error = problem(text)
    assert str(error.where) == where
    assert "not well-formed" in error.message


def test_deep_json_is_refused() -> None:
    assert problem('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}").message


def test_a_byte_order_mark_is_no_content() -> None:
    assert load_document('\ufeff{"a": 1}', "f").value == {"a": 1}


def test_nothing_is_none() -> None:
    assert load_document("# only a comment", "f").value is None


def test_positions_in_yaml_are_those_of_keys_and_items() -> None:
    text = """\
        a:
          - x
          - {b: 1, c: 2}
        d: e
        """
    assert place(text, "a", 1, "c") == (3, 12)
    assert place(text, "a", 0) == (2, 5)
    assert place(text, "d") == (4, 1)
    assert place(text) == (1, 1)


def test_positions_go_through_short_forms() -> None:
    text = """\
        a: !Join
          - ','
          - [!Ref X, !GetAtt A.B]
        """
    assert place(text, "a", "Fn::Join", 1, 1, "Fn::GetAtt", 0, intrinsics=True) == (3, 14)


def test_positions_in_json_are_those_of_keys_and_items() -> None:
    text = '{"a": [1, {"b": "}"}],\n "c": {"d": [1, 2]}, "e": "\\""}'
    assert place(text, "a", 1, "b") == (1, 12)
    assert place(text, "c", "d", 1) == (2, 17)
    assert place(text, "e") == (2, 22)


def test_a_path_too_long_ends_where_the_text_does() -> None:
    assert place("a: {b: 1}", "a", "b", "nope", 3) == (1, 5)
    assert place('{"a": {"b": 1}}', "a", "nope") == (1, 2)
