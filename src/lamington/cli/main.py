"""The commands: each only parses, calls and prints. `lamington --help` loads no AWS library."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from lamington.cli.output import Output, describe_parameters
from lamington.core.errors import LamingtonError, UsageError
from lamington.core.settings import Settings, load_settings

EXIT_FAILED = 1
EXIT_USAGE = 2

# What people who come from neighbouring tools type.
ALIASES = {"run": "up", "start-api": "up", "execute": "invoke"}

Command = TypeVar("Command", bound=Callable[..., Any])


class AliasedGroup(click.Group):
    """Commands under their own names and under the names that other tools gave them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


def main() -> None:
    """Run a command: exit 0 when done, 1 when it failed, 2 when it was asked wrongly."""
    try:
        code = commands.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except KeyboardInterrupt:
        code = 130
    except LamingtonError as error:
        code = _report(error)
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: LamingtonError) -> int:
    from lamington.service.problems import ServiceInvalid

    output = Output()
    for problem in error.problems if isinstance(error, ServiceInvalid) else [error]:
        output.error(problem)
    return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


@click.group(cls=AliasedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lamington", message="lamington %(version)s")
def commands() -> None:
    """Build, run and ship Lambda-backed microservices.

    A service is a directory of plain files: functions, an API definition, a stack. `up` runs it
    whole on this machine, behind AWS's own interfaces; `deploy` sends the same to AWS.

    Also known: `run` and `start-api` for `up`, `execute` for `invoke`.
    """


def _setting_option(name: str) -> Callable[[Command], Command]:
    """A flag for a setting, with the setting's own help, variable and default."""
    setting = next(each for each in fields(Settings) if each.name == name)
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        default=None,
        help=f"{setting.metadata['help']} [LAMINGTON_{name.upper()}; {setting.default}]",
    )


directory = click.argument(
    "directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
in_directory = click.option(
    "--directory",
    "-C",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="the service's directory [.]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="data as JSON, for scripts")
stage_option = click.option("--stage", default="", help="the stage of lamington.toml to build for")
parameter_option = click.option(
    "--parameter", "-P", multiple=True, metavar="KEY=VALUE", help="a parameter of the stack"
)


def remote_options(command: Command) -> Command:
    """Where a command's calls go, instead of the engine that serves the directory."""
    for option in (
        click.option("--profile", default="", help="AWS: the profile whose credentials to use"),
        click.option("--region", default="", help="AWS: the region"),
        click.option("--endpoint-url", default="", help="another AWS endpoint"),
    ):
        command = option(command)
    return command


@commands.command()
@click.argument("name")
@click.option(
    "--runtime",
    type=click.Choice(["python", "node"]),
    default="python",
    show_default=True,
    help="the language of its first function",
)
def new(name: str, runtime: str) -> None:
    """Write a new service NAME to start from."""
    from lamington.service.starter import create_service

    path = Path(name)
    create_service(path, runtime)
    Output().say(f"{path} is ready: `lamington up {path}` runs it")


@commands.command()
@directory
@_setting_option("port")
@_setting_option("aws_port")
@_setting_option("host")
@_setting_option("region")
@_setting_option("account_id")
@_setting_option("auth")
@_setting_option("credentials")
@stage_option
@parameter_option
@click.option("--watch/--no-watch", default=True, help="follow the files [on]")
@click.option("--logs/--no-logs", default=None, help="print what functions log [on a terminal]")
@as_json
def up(
    directory: Path,
    stage: str,
    parameter: tuple[str, ...],
    watch: bool,
    logs: bool | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Run the service in DIRECTORY, whole, and reload what is saved.

    The stack is raised by the CloudFormation engine from the same template that `deploy` sends to
    AWS. The service answers on --port, every AWS interface on --aws-port.
    """
    from lamington.cli.up import Up, UpOptions

    options = UpOptions(
        root=directory,
        stage=stage,
        parameters=describe_parameters(parameter),
        watch=watch,
        show_logs=sys.stderr.isatty() if logs is None else logs,
    )
    settings = load_settings(data=directory / ".lamington", **flags)
    _run(Up(options, settings, Output(as_json=as_json)).run())


@commands.command()
@directory
@stage_option
@as_json
def build(directory: Path, stage: str, as_json: bool) -> None:
    """Write swagger.json, template.json and the functions' archives to .lamington/build."""
    from lamington.service.package import Builder

    output = Output(as_json=as_json)
    out = directory / ".lamington" / "build"
    built = Builder(directory, out).build(stage)
    for warning in built.warnings:
        output.warn(warning)
    files = ["swagger.json", "template.json", *(a.path.name for a in built.artifacts.values())]
    if as_json:
        output.write_json({"directory": str(out), "files": files, "warnings": built.warnings})
        return
    for name in files:
        output.write(f"{out / name}  {(out / name).stat().st_size} bytes")


@commands.command()
@directory
@stage_option
@as_json
def validate(directory: Path, stage: str, as_json: bool) -> None:
    """Check the service in DIRECTORY: every problem with its file, line and column."""
    from lamington.service.definition import load_definition

    output = Output(as_json=as_json)
    built = load_definition(directory, stage)
    for warning in built.warnings:
        output.warn(warning)
    if as_json:
        output.write_json({"valid": True, "warnings": built.warnings})
    else:
        output.say(f"{built.name} is valid: {len(built.routes)} routes")


@commands.command()
@directory
@as_json
def describe(directory: Path, as_json: bool) -> None:
    """Tell each function and what triggers it; unused ones are listed."""
    from lamington.service.describe import describe_project
    from lamington.service.project import load_project

    output = Output(as_json=as_json)
    described = describe_project(load_project(directory))
    if as_json:
        output.write_json(described)
        return
    output.table(
        ("Function", "Runtime", "Handler", "Triggered by"),
        [
            (each.name, each.runtime, each.handler, ", ".join(each.triggers) or "nothing")
            for each in described.functions
        ],
    )


@commands.command()
@click.argument("function")
@in_directory
@click.option("--event", "-e", default="", help="a file with the event, - for standard input")
@click.option("--qualifier", "-q", default="", help="a version or alias")
@click.option(
    "--type",
    "invocation_type",
    type=click.Choice(["RequestResponse", "Event", "DryRun"]),
    default="RequestResponse",
    show_default=True,
    help="wait for the result, only queue it, or only check",
)
@click.option("--log/--no-log", default=True, help="print the invocation's log [on]")
@remote_options
@as_json
def invoke(function: str, directory: Path, as_json: bool, **options: Any) -> None:
    """Invoke FUNCTION of the service, by its name in functions/.

    The payload goes to stdout, the log to stderr; exit 1 when the function failed. Where the
    service is not up, an engine is raised for this invocation alone.
    """
    from lamington.cli.calls import invoke_function

    sys.exit(invoke_function(function, directory, Output(as_json=as_json), **options))


@commands.command()
@click.argument("function", default="")
@in_directory
@click.option("--tail", "-t", "-f", is_flag=True, help="go on as events come")
@click.option("--since", "-s", default="10m", show_default=True, help="how far back: 30s, 10m, 2h")
@click.option("--filter", "filter_pattern", default="", help="a CloudWatch Logs filter pattern")
@remote_options
@as_json
def logs(function: str, directory: Path, as_json: bool, **options: Any) -> None:
    """Print the log of FUNCTION, or of all functions of the service."""
    from lamington.cli.calls import print_logs

    print_logs(function, directory, Output(as_json=as_json), **options)


@commands.command()
@click.argument("method", default="")
@click.argument("path", default="")
@in_directory
@click.option("--header", "-H", multiple=True, metavar="NAME:VALUE", help="a header of the request")
@click.option("--body", "-d", default="", help="the request's body, @FILE or - for one to read")
@click.option("--api", default="", help="the API's id or name [the service's, or the only one]")
@click.option("--stage", default="", help="the stage [the API's only one]")
@click.option("--live", is_flag=True, help="record real requests, and show the last ones")
@click.option("--follow", "-f", is_flag=True, help="with --live: go on as requests come")
@click.option("--off", is_flag=True, help="with --live: record no longer")
@click.option("--show-secrets", is_flag=True, help="show keys, tokens and cookies whole")
@click.option("--endpoint-url", default="", help="an engine other than the directory's")
@as_json
def explain(
    method: str, path: str, directory: Path, as_json: bool, live: bool, **options: Any
) -> None:
    """Send a request METHOD PATH and tell each step of it; PATH is what follows the stage.

    Tells which method takes it, what each check decided, what each line of a template printed,
    what the function got and gave, and why the response is what it is. METHOD may be left out for
    a GET. Where the service is not up, an engine is raised for this request alone. Exit 1 when the
    gateway itself refused the request.
    """
    from lamington.cli.explain import ExplainOptions, explain_live, explain_request

    output = Output(as_json=as_json)
    follow, off = options.pop("follow"), options.pop("off")
    if live:
        endpoint_url, show_secrets = options["endpoint_url"], options["show_secrets"]
        explain_live(
            directory,
            output,
            endpoint_url=endpoint_url,
            follow=follow,
            off=off,
            show_secrets=show_secrets,
        )
        return
    if not path:
        method, path = "GET", method
    if not path:
        raise UsageError("which request?", hint="give METHOD and PATH, or --live")
    sys.exit(
        explain_request(directory, ExplainOptions(method=method, path=path, **options), output)
    )


@commands.command()
@click.argument("template")
@click.option("--body", default="", help="the payload: a FILE, - for standard input, or a text")
@click.option(
    "--context", type=click.Path(path_type=Path), help="a JSON file with the members of $context"
)
@click.option("--path", multiple=True, metavar="KEY=VALUE", help="a path parameter")
@click.option("--query", multiple=True, metavar="KEY=VALUE", help="a query parameter")
@click.option("--header", multiple=True, metavar="KEY=VALUE", help="a header")
@click.option("--stage-variable", multiple=True, metavar="KEY=VALUE", help="a stage variable")
@click.option("--response", is_flag=True, help="it is a response template: show its overrides")
@click.option("--lines", is_flag=True, help="each line of the template beside what it printed")
@as_json
def render(template: str, as_json: bool, **options: Any) -> None:
    """Render a mapping template, the file TEMPLATE or - for standard input, on given values.

    The text goes to stdout, overrides that it assigns to stderr. No engine is needed.
    """
    from lamington.cli.render import RenderOptions, render_template

    render_template(template, RenderOptions(**options), Output(as_json=as_json))


@commands.command()
@directory
@click.option("--since", "-s", default="", help="how far back: 30s, 10m, 2h [all that is kept]")
@click.option("--from", "from_", default="", help="beginning, in ISO 8601: 2026-01-02T03:04:05Z")
@click.option("--to", default="", help="end, in ISO 8601 [now]")
@as_json
def bill(directory: Path, as_json: bool, **options: Any) -> None:
    """Tell what functions of DIRECTORY used, and what AWS would charge for it."""
    from lamington.cli.bill import print_bill

    print_bill(directory, Output(as_json=as_json), **options)


@commands.command()
@directory
def down(directory: Path) -> None:
    """Delete what `up` raised and stop the engine that serves DIRECTORY, if it runs."""
    from lamington.cli.calls import take_down

    _run(take_down(directory, Output()))


@commands.command()
@_setting_option("aws_port")
@_setting_option("host")
@_setting_option("data")
@_setting_option("region")
@_setting_option("account_id")
@_setting_option("auth")
@_setting_option("credentials")
def engine(**flags: Any) -> None:
    """Run the AWS endpoint alone: boto3, the AWS CLI and their like drive it."""
    from lamington.cli.up import run_engine

    _run(run_engine(load_settings(**flags), Output()))


@commands.command()
@directory
@stage_option
@parameter_option
@click.option("--stack-name", default="", help="the stack's name [the service's]")
@click.option(
    "--api-as-resources",
    is_flag=True,
    help="write the API as Resource and Method, for endpoints that cannot import a definition",
)
@remote_options
@as_json
def deploy(directory: Path, parameter: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Send the service to AWS: the same artifacts and template that `up` runs."""
    from lamington.cli.calls import deploy_service

    deploy_service(directory, describe_parameters(parameter), Output(as_json=as_json), **options)


@commands.command()
@directory
@stage_option
@click.option("--stack-name", default="", help="the stack's name [the service's]")
@click.option("--yes", "-y", is_flag=True, help="do not ask")
@remote_options
def destroy(directory: Path, yes: bool, **options: Any) -> None:
    """Delete the service's stack from AWS."""
    from lamington.cli.calls import destroy_service

    if not yes:
        click.confirm(f"Delete the stack of {directory.resolve().name}?", abort=True, err=True)
    destroy_service(directory, Output(), **options)


def _run(coroutine: Any) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


if __name__ == "__main__":
    main()
