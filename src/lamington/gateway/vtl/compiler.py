"""Mapping templates compiled to Python functions, once, when a stage is deployed.

Binds the few names that generated code may use, and gives an error while rendering its place in
the template: the code objects carry the template's lines and columns.
"""

from collections.abc import Callable
from itertools import islice
from types import CodeType, TracebackType
from typing import Any, Final, NoReturn

from lamington.gateway.vtl import library, values
from lamington.gateway.vtl.emitter import Emitter
from lamington.gateway.vtl.library import Bindings, TemplateError
from lamington.gateway.vtl.limits import TemplateLimits
from lamington.gateway.vtl.survey import survey_template
from lamington.gateway.vtl.syntax import TemplateSyntaxError, parse_template
from lamington.gateway.vtl.values import well_formed

MappingTemplate = Callable[[Bindings], str]

Trace = Callable[[tuple[int, str]], object]
"""Takes a line of the template and a piece of output that comes from it."""

TracedTemplate = Callable[[Bindings, Trace], str]

DEFAULT_LIMITS: Final = TemplateLimits()
_FILE: Final = "<mapping template>"


class _Stopped(Exception):
    """`#stop` within a block or a string: leaves the functions around it."""

    def __init__(self, printed: str) -> None:
        super().__init__()
        self.printed = printed


def _printed_before(stopped: _Stopped) -> str:
    return stopped.printed


def _too_large() -> NoReturn:
    raise TemplateError(
        "The output grew past what a payload can carry.", "A payload on AWS has 10 MB at most."
    )


def _too_long() -> NoReturn:
    raise TemplateError(
        "The rendering takes too many steps.", "Loops inside one another multiply their items."
    )


# Everything that generated code can name. `__builtins__` is empty: there is no way around.
_NAMES: Final[dict[str, Any]] = {
    "__builtins__": {},
    "type": type,
    "str": str,
    "dict": dict,
    "len": len,
    "text": values.text,
    "add": values.add,
    "arithmetic": values.arithmetic,
    "compare": values.compare,
    "equal": values.equal,
    "iterate": values.iterate,
    "range_list": values.range_list,
    "map_key": values.map_key,
    "JavaList": values.JavaList,
    "Block": values.Block,
    "Loop": values.Loop,
    "member": library.member,
    "index": library.index,
    "call": library.call,
    "get": library.get,
    "keys": library.keys,
    "set_member": library.set_member,
    "set_index": library.set_index,
    "variable": library.variable,
    "bounded": library.bounded,
    "utility": library.UTILITY,
    "escape_java_script": library.escape_java_script,
    "url_encode": library.url_encode,
    "url_decode": library.url_decode,
    "base64_encode": library.base64_encode,
    "base64_decode": library.base64_decode,
    "parsed_json": library.parsed_json,
    "input_value": library.input_value,
    "input_json": library.input_json,
    "input_parameter": library.input_parameter,
    "too_large": _too_large,
    "too_long": _too_long,
    "Stopped": _Stopped,
    "printed_before": _printed_before,
}


def compile_template(text: str, *, limits: TemplateLimits = DEFAULT_LIMITS) -> MappingTemplate:
    """Compile a mapping template; raise `TemplateSyntaxError` where AWS would refuse it.

    The function that comes back keeps no state between renderings but its JSONPaths, and raises
    `TemplateError` only.
    """
    body: MappingTemplate = _compile_function(text, limits, traced=False)

    def render(bindings: Bindings) -> str:
        try:
            return well_formed(body(bindings))
        except TemplateError as error:
            _locate(error, error.__traceback__)
            raise
        except RecursionError:
            raise TemplateError("A value or a block is nested too deeply.") from None

    return render


def compile_traced_template(
    text: str, *, limits: TemplateLimits = DEFAULT_LIMITS
) -> TracedTemplate:
    """Compile a template to a function that also tells the line which each piece comes from.

    What it prints is what the function of `compile_template` prints; what a block that stops the
    rendering has printed comes from line 0. It is for people who look at one request.
    """
    body: TracedTemplate = _compile_function(text, limits, traced=True)

    def render(bindings: Bindings, trace: Trace) -> str:
        try:
            return well_formed(body(bindings, trace))
        except TemplateError as error:
            _locate(error, error.__traceback__)
            raise
        except RecursionError:
            raise TemplateError("A value or a block is nested too deeply.") from None

    return render


def _compile_function(text: str, limits: TemplateLimits, *, traced: bool) -> Any:
    nodes = parse_template(text, limits)
    try:
        emitter = Emitter(limits, survey_template(nodes), traced=traced)
        module = emitter.module(nodes)
        code = compile(module, _FILE, "exec", dont_inherit=True, optimize=2)
    except (RecursionError, MemoryError):
        raise TemplateSyntaxError("The template is nested too deeply.", line=1, column=1) from None
    namespace = {**_NAMES, **emitter.constants, "paths": library.JsonPaths()}
    exec(code, namespace)
    return namespace["template"]


def _locate(error: TemplateError, traceback: TracebackType | None) -> None:
    """Give an error the line and column of the innermost template code that it passed."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == _FILE:
            line, column = _position(code, traceback.tb_lasti)
            error.line, error.column = line, column
        traceback = traceback.tb_next


def _position(code: CodeType, offset: int) -> tuple[int, int]:
    line, _, column, _ = next(islice(code.co_positions(), offset // 2, None))
    return line or 0, (column or 0) + 1
