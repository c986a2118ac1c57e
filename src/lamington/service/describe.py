"""A service told: each function, what triggers it, and what nothing triggers."""

from dataclasses import dataclass

from lamington.service.api import Route
from lamington.service.definition import build_definition
from lamington.service.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedFunction:
    """`triggers` are such as `GET /cakes`; empty for a function that nothing triggers."""

    name: str
    logical_id: str
    runtime: str
    handler: str
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedService:
    name: str
    functions: tuple[DescribedFunction, ...]
    unused: tuple[str, ...]
    routes: tuple[Route, ...]
    resources: tuple[str, ...]
    stages: tuple[str, ...]


def describe_project(project: Project) -> DescribedService:
    """What the service is made of; raises ServiceInvalid where it cannot be built."""
    built = build_definition(project)
    functions = tuple(
        DescribedFunction(
            name=function.name,
            logical_id=function.logical_id,
            runtime=function.runtime,
            handler=function.handler,
            triggers=tuple(
                f"{route.method} {route.path}"
                for route in built.routes
                if route.function == function.name
            ),
        )
        for function in project.functions
    )
    own = project.stack.value.get("Resources") if project.stack else None
    return DescribedService(
        name=project.name,
        functions=functions,
        unused=tuple(each.name for each in functions if not each.triggers),
        routes=built.routes,
        resources=tuple(f"{key} ({each['Type']})" for key, each in (own or {}).items()),
        stages=tuple(stage.name for stage in project.stages),
    )
