"""IAM policy documents: compiled once, then asked whether they allow or deny an action.

One evaluation for all of them: policies of identities, of resources and of Lambda authorizers.
Left to others: which policies count, how several decisions combine, and where the values of
condition keys come from.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lamington.core.errors import LamingtonError
from lamington.core.policy_matching import (
    OPERATORS,
    CompileText,
    Values,
    Variable,
    compile_arn_pattern,
    compile_wildcards,
    parse_variables,
    substituted,
)

Decision = Literal["allow", "deny", "silent"]

NO_VALUES: Values = {}
NOBODY: frozenset[str] = frozenset()

_VERSIONS = ("2012-10-17", "2008-10-17")


class PolicyError(LamingtonError):
    """A document that is no policy."""


@dataclass(frozen=True, slots=True)
class _Question:
    action: str
    resource: str
    values: Values
    principals: frozenset[str]


_Test = Callable[[_Question], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    allows: bool
    tests: tuple[_Test, ...]

    def applies(self, question: _Question) -> bool:
        return all(test(question) for test in self.tests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A compiled document.

    `reads` are the condition keys that its answers depend on, in lower case: with none, the same
    action on the same resource is always answered alike. `names_principals` tells whether it
    asks who calls.
    """

    statements: tuple[_Statement, ...]
    reads: frozenset[str]
    names_principals: bool = False

    def evaluate(
        self,
        action: str,
        resource: str,
        values: Values = NO_VALUES,
        principals: frozenset[str] = NOBODY,
    ) -> Decision:
        """Whether an action on a resource is allowed; an explicit deny wins.

        `principals` are all names that the caller answers to: ARNs and the account's number.
        Nobody matches only the principal `*`.
        """
        question = _Question(action, resource, values, principals)
        decision: Decision = "silent"
        for statement in self.statements:
            if statement.applies(question):
                if not statement.allows:
                    return "deny"
                decision = "allow"
        return decision


def evaluate(
    policies: Iterable[Policy],
    action: str,
    resource: str,
    values: Values = NO_VALUES,
    principals: frozenset[str] = NOBODY,
) -> Decision:
    """What several policies of one side say together: any deny, else any allow."""
    decision: Decision = "silent"
    for policy in policies:
        found = policy.evaluate(action, resource, values, principals)
        if found == "deny":
            return "deny"
        if found == "allow":
            decision = "allow"
    return decision


def compile_policy(document: Any, expand: Callable[[str], str] | None = None) -> Policy:
    """Compile a document, as decoded from JSON; `expand` writes out shorthands of resources.

    AWS: IAM user guide, grammar of the policy language. Raises PolicyError.
    """
    if not isinstance(document, Mapping):
        raise PolicyError("A policy is an object")
    version = document.get("Version", _VERSIONS[1])
    if version not in _VERSIONS:
        raise PolicyError(f"The policy's version is none of {', '.join(_VERSIONS)}")
    statements = document.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise PolicyError("The policy has no statement")
    compiler = _Compiler(version == _VERSIONS[0], expand)
    compiled = tuple(compiler.statement(each) for each in statements)
    return Policy(
        statements=compiled,
        reads=frozenset(compiler.reads),
        names_principals=compiler.names_principals,
    )


class _Compiler:
    """Compiles the statements of one document, and notes what they depend on."""

    def __init__(self, has_variables: bool, expand: Callable[[str], str] | None) -> None:
        self._has_variables = has_variables
        self._expand = expand
        self.reads: set[str] = set()
        self.names_principals = False

    def statement(self, statement: Any) -> _Statement:
        if not isinstance(statement, Mapping):
            raise PolicyError("A statement is an object")
        effect = statement.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise PolicyError("The effect of a statement is `Allow` or `Deny`")
        tests = [self._actions(statement)]
        tests += self._resources(statement)
        tests += self._principals(statement)
        tests += self._conditions(statement.get("Condition"))
        return _Statement(allows=effect == "Allow", tests=tuple(tests))

    # Action and NotAction.

    def _actions(self, statement: Mapping[str, Any]) -> _Test:
        name, values = _one_of(statement, "Action", "NotAction")
        if values is None:
            raise PolicyError("A statement has an `Action` or a `NotAction`")
        matchers = [compile_wildcards(each.lower()) for each in values]
        wanted = name == "Action"

        def test(question: _Question) -> bool:
            action = question.action.lower()
            return any(matches(action) for matches in matchers) is wanted

        return test

    # Resource and NotResource.

    def _resources(self, statement: Mapping[str, Any]) -> list[_Test]:
        name, values = _one_of(statement, "Resource", "NotResource")
        if values is None:
            return []
        if self._expand is not None:
            values = [self._expand(each) for each in values]
        wanted = name == "Resource"
        if wanted and "*" in values:
            return []
        matchers = [self._pattern(each, compile_arn_pattern) for each in values]
        return [
            lambda question: (
                any(matches(question.resource, question.values) for matches in matchers) is wanted
            )
        ]

    # Principal and NotPrincipal.

    def _principals(self, statement: Mapping[str, Any]) -> list[_Test]:
        if "Principal" not in statement and "NotPrincipal" not in statement:
            return []
        wanted = "Principal" in statement
        named = _principal_names(statement["Principal" if wanted else "NotPrincipal"])
        if "*" in named:
            return [] if wanted else [lambda question: False]
        self.names_principals = True
        return [lambda question: (not named.isdisjoint(question.principals)) is wanted]

    # Condition.

    def _conditions(self, condition: Any) -> list[_Test]:
        if condition is None:
            return []
        if not isinstance(condition, Mapping):
            raise PolicyError("A condition is an object")
        tests = []
        for operator, pairs in condition.items():
            if not isinstance(pairs, Mapping):
                raise PolicyError(f"`{operator}` of a condition is an object")
            for key, values in pairs.items():
                self.reads.add(str(key).lower())
                tests.append(self._condition(str(operator), str(key).lower(), values))
        return tests

    def _condition(self, operator: str, key: str, given: Any) -> _Test:
        expected = _texts(given, f"the values of `{key}`")
        quantifier, _, name = operator.rpartition(":")
        if_exists = name.endswith("IfExists") and name != "Null"
        name = name.removesuffix("IfExists")
        if quantifier not in ("", "ForAllValues", "ForAnyValue"):
            raise PolicyError(f"`{operator}` is no operator of conditions")
        if name == "Null":
            wanted = any(each.lower() == "true" for each in expected)
            return lambda question: (not _sent(question.values, key)) is wanted
        if name not in OPERATORS:
            raise PolicyError(f"`{operator}` is no operator of conditions")
        compile_value, negated, has_variables = OPERATORS[name]
        if has_variables:
            matchers = [self._pattern(each, compile_value) for each in expected]
        else:
            try:
                matchers = [_without_values(compile_value(each)) for each in expected]
            except ValueError as error:
                raise PolicyError(str(error)) from None

        def matches(value: str, values: Values) -> bool:
            return any(matcher(value, values) for matcher in matchers) is not negated

        return _quantified(quantifier, key, matches, if_exists=if_exists, negated=negated)

    # Patterns, which may hold policy variables.

    def _pattern(self, text: str, compile_text: CompileText) -> "_Matcher":
        if not self._has_variables or "${" not in text:
            return _without_values(compile_text(text))
        parts = parse_variables(text)
        self.reads.update(part.key for part in parts if isinstance(part, Variable))

        def matches(value: str, values: Values) -> bool:
            written = substituted(parts, values)
            return written is not None and compile_text(written)(value)

        return matches


_Matcher = Callable[[str, Values], bool]


def _without_values(matches: Callable[[str], bool]) -> _Matcher:
    return lambda value, values: matches(value)


def _quantified(
    quantifier: str, key: str, matches: _Matcher, *, if_exists: bool, negated: bool
) -> _Test:
    """AWS: a key that is not there fails an operator, but for negated ones and `IfExists`."""
    if quantifier == "ForAllValues":
        return lambda question: all(
            matches(each, question.values) for each in _sent(question.values, key)
        )
    if quantifier == "ForAnyValue" and not if_exists:
        return lambda question: any(
            matches(each, question.values) for each in _sent(question.values, key)
        )
    # Without a quantifier, several values of a key count like one: a negated operator fails by
    # any that it names.
    combine = all if negated and not quantifier else any
    when_missing = if_exists or negated

    def test(question: _Question) -> bool:
        sent = _sent(question.values, key)
        if not sent:
            return when_missing
        return combine(matches(each, question.values) for each in sent)

    return test


def _sent(values: Values, key: str) -> Sequence[str]:
    value = values.get(key)
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


# Reading documents.


def _one_of(statement: Mapping[str, Any], name: str, negated: str) -> tuple[str, list[str] | None]:
    if name in statement and negated in statement:
        raise PolicyError(f"A statement has a `{name}` or a `{negated}`, not both")
    found = negated if negated in statement else name
    if found not in statement:
        return found, None
    values = _texts(statement[found], f"`{found}`")
    if not values:
        raise PolicyError(f"`{found}` names nothing")
    return found, values


def _texts(given: Any, what: str) -> list[str]:
    values = given if isinstance(given, list) else [given]
    texts = []
    for value in values:
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str):
            raise PolicyError(f"{what} are texts")
        texts.append(value)
    return texts


_ACCOUNT = re.compile("[0-9]{12}")


def _principal_names(given: Any) -> frozenset[str]:
    """What a principal element names, as a caller's names have it; an account's root is the
    account."""
    if isinstance(given, str):
        pairs = [("AWS", given)]
    elif isinstance(given, Mapping):
        pairs = [
            (str(kind), name)
            for kind, names in given.items()
            for name in _texts(names, "the names of a principal")
        ]
    else:
        raise PolicyError("A principal is `*` or an object")
    names = set()
    for kind, name in pairs:
        if name == "*" and kind != "AWS":
            continue
        head, _, account = name.partition("::")
        number, _, rest = account.partition(":")
        if head.endswith(":iam") and rest == "root" and _ACCOUNT.fullmatch(number):
            name = number
        names.add(name)
    return frozenset(names)
