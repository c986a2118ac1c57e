"""A project to what AWS takes: the API definition and the stack template, both complete.

Nothing here touches the disk. Left to others: the packages (`package`), and sending it all to a
stack (`local`, `deploy`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.gateway.entities import INTEGRATION_TIMEOUT_MAX_MS, RestApi
from lamington.gateway.openapi import import_definition
from lamington.service.api import Route, complete_api, invocation_uri
from lamington.service.functions import Function
from lamington.service.problems import Problems
from lamington.service.project import Project, ServiceStage, load_project
from lamington.service.references import check_cycles, check_references, check_stack_file
from lamington.service.template import build_template


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A function's package on disk; `key` is where the template looks for it in S3."""

    function: str
    path: Path
    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltService:
    """All that a service becomes.

    `swagger` can be imported by itself (its ARNs name the functions of the stack); in the
    template the same definition has intrinsic functions. `warnings` and `unemulated` are
    sentences; `artifacts` are by function name, and empty where nothing was packaged.
    """

    name: str
    stage: ServiceStage
    swagger: dict[str, Any] | None
    template: dict[str, Any]
    routes: tuple[Route, ...] = ()
    warnings: tuple[str, ...] = ()
    unemulated: tuple[str, ...] = ()
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)

    @property
    def stack_name(self) -> str:
        return self.stage.stack_name


def build_definition(
    project: Project,
    stage: str = "",
    *,
    artifacts: Mapping[str, Artifact] | None = None,
    problems: Problems | None = None,
) -> BuiltService:
    """Make the API definition and the template; an empty `stage` is the service's first.

    Without `artifacts` the template names packages by function only: enough to check it. Raises
    ServiceInvalid with everything wrong, unless `problems` gathers it.
    """
    found = Problems() if problems is None else problems
    chosen = project.stage(stage)
    made = {} if artifacts is None else artifacts
    api = None
    if project.api is not None:
        api = complete_api(
            project.api,
            service_name=project.name,
            functions=project.functions,
            problems=found,
        )
    keys = {
        function.name: made[function.name].key if function.name in made else function.name
        for function in project.functions
    }
    template = build_template(project, chosen, api, keys, found)
    if project.stack is not None:
        check_stack_file(project.stack, found)
    check_references(project, template, found)
    check_cycles(project, template, found)
    swagger = _standalone(api.definition, project, chosen) if api else None
    unemulated: tuple[str, ...] = ()
    if swagger is not None and not found.errors:
        unemulated = _trial_import(swagger, project, found)
    if not template.get("Resources") and not found.errors:
        found.error("the service has nothing to raise: no functions, no API, no resources")
    if problems is None:
        found.close()
    return BuiltService(
        name=project.name,
        stage=chosen,
        swagger=swagger,
        template=template,
        routes=api.routes if api else (),
        warnings=tuple(
            f"{notice} ({notice.hint})" if notice.hint else str(notice) for notice in found.notices
        ),
        unemulated=unemulated,
        artifacts=made,
    )


def load_definition(root: Path, stage: str = "") -> BuiltService:
    """Load a service and make its definition and template, without packing anything.

    Raises ServiceInvalid with everything that is wrong on disk and in what it says.
    """
    problems = Problems()
    project = load_project(root, problems=problems)
    if not project.complete:
        problems.close()
    built = build_definition(project, stage, problems=problems)
    problems.close()
    return built


def with_packages(
    built: BuiltService, project: Project, artifacts: Mapping[str, Artifact]
) -> BuiltService:
    """The same service with other packages: all that changes when only code does."""
    resources = dict(built.template["Resources"])
    for function in project.functions:
        resource = resources[function.logical_id]
        properties = resource["Properties"]
        code = {**properties["Code"], "S3Key": artifacts[function.name].key}
        resources[function.logical_id] = {**resource, "Properties": {**properties, "Code": code}}
    template = {**built.template, "Resources": resources}
    return replace(built, template=template, artifacts=artifacts)


def _standalone(
    definition: dict[str, Any], project: Project, stage: ServiceStage
) -> dict[str, Any]:
    """The definition without a stack around it: API Gateway itself knows account and region."""
    names = {
        invocation_uri(function)["Fn::Sub"]: _standalone_uri(function, stage)
        for function in project.functions
    }

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1 and isinstance(value.get("Fn::Sub"), str):
                return names.get(value["Fn::Sub"], value)
            return {key: convert(each) for key, each in value.items()}
        return [convert(each) for each in value] if isinstance(value, list) else value

    result: dict[str, Any] = convert(definition)
    return result


def _standalone_uri(function: Function, stage: ServiceStage) -> str:
    given = function.properties.get("FunctionName")
    name = given if isinstance(given, str) else f"{stage.stack_name}-{function.name}"
    arn = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:" + name
    return (
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31"
        f"/functions/{arn}/invocations"
    )


def _trial_import(swagger: dict[str, Any], project: Project, problems: Problems) -> tuple[str, ...]:
    """Import the definition as API Gateway would; what it refuses is a problem of the file."""
    assert project.api is not None
    if _has_intrinsics(swagger):
        return ()
    empty = RestApi(api_id="trial", name=project.name, created="")
    try:
        api, _ = import_definition(
            swagger,
            api=empty,
            mode="overwrite",
            base_path="ignore",
            scope=Scope(),
            ids=Ids(),
            # Whoever has the quota raised may build here; the deployment tells everybody else.
            timeout_max_ms=INTEGRATION_TIMEOUT_MAX_MS,
        )
    except AwsError as error:
        problems.error(
            f"API Gateway refuses the definition: {error.message}",
            where=project.api.position(()),
            hint=error.hint,
        )
        return ()
    return api.definition_extensions


def _has_intrinsics(value: Any) -> bool:
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return True
        return any(_has_intrinsics(each) for each in value.values())
    return isinstance(value, list) and any(_has_intrinsics(each) for each in value)
