"""Request validation: what a method's validator asks of parameters and body, before anything runs.

Left to others: what a model accepts (`schemas`), and how a refusal is shown (`responses`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.gateway.entities import Method, RestApi
from lamington.gateway.mapping import (
    Gate,
    MethodRequest,
    decoded_path_parameters,
    media_type,
    query_values,
)
from lamington.gateway.responses import Refusal, configuration_error
from lamington.gateway.schemas import ModelJudge, SchemaError, compile_model
from lamington.gateway.templates import Note

ANY_CONTENT_TYPE = "$default"
UNREADABLE_BODY = "Unknown error parsing request body"

_Missing = Callable[[MethodRequest], list[str]]
_Find = Callable[[MethodRequest], "_BodyModel | None"]


def compile_validation(api: RestApi, method: Method, note: Note) -> Gate | None:
    """Compile what is asked of a method's requests; None where nothing is.

    AWS: API Gateway developer guide, request validation: first the parameters, then the body, and
    one refusal for each. A model that does not compile fails each request that it is to judge.
    """
    validator = api.request_validators.get(method.request_validator_id)
    if validator is None:
        return None
    missing = _compile_parameters(method) if validator.validate_parameters else None
    find = _compile_models(api, method, note) if validator.validate_body else None
    if missing is None and find is None:
        return None

    def validate(request: MethodRequest) -> None:
        names = missing(request) if missing is not None else []
        model = find(request) if find is not None and not names else None
        faults = model.faults(request.body) if model is not None else []
        if request.recording is not None:
            request.recording.add(
                "validation", parameters=names, model=model.name if model else "", errors=faults
            )
        if names:
            message = f"Missing required request parameters: [{', '.join(names)}]"
            raise Refusal(message, response_type="BAD_REQUEST_PARAMETERS", client_message=message)
        if faults:
            errors = f"[{', '.join(faults)}]"
            content_type = request.known.get("content-type", "application/json")
            raise Refusal(
                f"Request body does not match model schema for content type"
                f" {media_type(content_type)}: {errors}",
                response_type="BAD_REQUEST_BODY",
                validation_error=errors,
            )

    return validate


def _compile_parameters(method: Method) -> _Missing | None:
    """Compile what finds the required parameters that a request lacks, or has blank.

    AWS: the names of headers come first, then path, then query parameters (recorded).
    Differs: headers are found whatever their case; no record of AWS's way.
    """
    required: dict[str, list[str]] = {"header": [], "path": [], "querystring": []}
    for parameter, is_required in method.request_parameters.items():
        place, _, name = parameter.removeprefix("method.request.").partition(".")
        if is_required and place in required:
            required[place].append(name)
    if not any(required.values()):
        return None
    headers = [(name, name.lower()) for name in required["header"]]
    path, query = required["path"], required["querystring"]

    def missing(request: MethodRequest) -> list[str]:
        names = [name for name, lower in headers if not request.known.get(lower, "").strip()]
        if path:
            names += _blank(path, decoded_path_parameters(request))
        if query:
            names += _blank(query, query_values(request.query)[0])
        return names

    return missing


def _blank(names: list[str], values: Mapping[str, str]) -> list[str]:
    return [name for name in names if not values.get(name, "").strip()]


@dataclass(frozen=True, slots=True)
class _BodyModel:
    """The model for bodies of a content type; `broken` says why it cannot judge."""

    name: str
    judge: ModelJudge | None
    broken: str = ""

    def faults(self, body: bytes) -> list[str]:
        """What is wrong with a body.

        AWS: an empty body is refused as one that cannot be read (recorded), but taken where the
        model asks for nothing.
        """
        if self.judge is None:
            raise configuration_error(self.broken)
        value: Any
        if body:
            try:
                value = msgspec.json.decode(body)
            except (msgspec.DecodeError, RecursionError):
                return [UNREADABLE_BODY]
            return [] if self.judge.accepts(value) else self.judge.faults(value)
        return [] if self.judge.accepts({}) else [UNREADABLE_BODY]


def _compile_models(api: RestApi, method: Method, note: Note) -> _Find | None:
    """Compile which model judges a request; None where no content type has one.

    AWS: chosen by the content type, `application/json` where there is none; a model under
    `$default` judges all others; without one of these a body is not validated.
    """
    models: dict[str, _BodyModel] = {}
    for content_type, name in method.request_models.items():
        try:
            model = _BodyModel(name, compile_model(api, name))
        except SchemaError as error:
            note(error.message)
            model = _BodyModel(name, None, error.message)
        models[content_type.lower()] = model
    if not models:
        return None
    default = models.get(ANY_CONTENT_TYPE)

    def find(request: MethodRequest) -> _BodyModel | None:
        content_type = request.known.get("content-type", "application/json")
        if content_type in models:
            return models[content_type]
        return models.get(media_type(content_type), default)

    return find
