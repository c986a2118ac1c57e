"""The API Gateway operations on request validators.

Left to others: what a validator asks of requests (`validation`), and which method names it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import (
    BadRequestException,
    NotFoundException,
    RequestValidator,
    RestApi,
)
from lamington.gateway.operations.tables import GatewayTables, Patch, listing, parse_patches
from lamington.gateway.results import without

VALIDATOR_PATCH_PATHS = ("/name", "/validateRequestParameters", "/validateRequestBody")


class ValidatorOperations:
    """What AWS's API says of request validators."""

    def __init__(self, *, tables: GatewayTables, ids: Ids) -> None:
        self._tables = tables
        self._ids = ids

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateRequestValidator": self.create_request_validator,
            "apigateway:GetRequestValidator": self.get_request_validator,
            "apigateway:GetRequestValidators": self.get_request_validators,
            "apigateway:UpdateRequestValidator": self.update_request_validator,
            "apigateway:DeleteRequestValidator": self.delete_request_validator,
        }

    async def create_request_validator(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        validator = RequestValidator(
            validator_id=self._ids.token(6),
            name=_require_name(params.get("name") or ""),
            validate_body=bool(params.get("validateRequestBody")),
            validate_parameters=bool(params.get("validateRequestParameters")),
        )
        self._put(api, validator, scope)
        return validator_result(validator)

    async def get_request_validator(self, params: Params, scope: Scope) -> Result:
        return validator_result(self._validator(params, scope)[1])

    async def get_request_validators(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        return listing(params, api.request_validators.items(), validator_result)

    async def update_request_validator(self, params: Params, scope: Scope) -> Result:
        api, validator = self._validator(params, scope)
        for patch in parse_patches(params):
            validator = _patched(validator, patch)
        self._put(api, validator, scope)
        return validator_result(validator)

    async def delete_request_validator(self, params: Params, scope: Scope) -> Result:
        """Delete a validator; methods that name it validate nothing from then on.

        Differs: whether AWS refuses to delete one that a method names is not known.
        """
        api, validator = self._validator(params, scope)
        kept = without(api.request_validators, validator.validator_id)
        self._tables.apis.put(scope, replace(api, request_validators=kept))
        return {}

    def _validator(self, params: Params, scope: Scope) -> tuple[RestApi, RequestValidator]:
        api = self._tables.require_api(scope, params["restApiId"])
        validator = api.request_validators.get(params["requestValidatorId"])
        if validator is None:
            raise NotFoundException("Invalid Request Validator identifier specified")
        return api, validator

    def _put(self, api: RestApi, validator: RequestValidator, scope: Scope) -> None:
        validators = {**api.request_validators, validator.validator_id: validator}
        self._tables.apis.put(scope, replace(api, request_validators=validators))


def validator_result(validator: RequestValidator) -> Result:
    """A request validator as AWS shows it."""
    return {
        "id": validator.validator_id,
        "name": validator.name,
        "validateRequestBody": validator.validate_body,
        "validateRequestParameters": validator.validate_parameters,
    }


def _require_name(name: str) -> str:
    if not name.strip():
        raise BadRequestException("Request Validator name cannot be blank")
    return name


def _patched(validator: RequestValidator, patch: Patch) -> RequestValidator:
    if patch.op != "replace":
        raise patch.unsupported
    match patch.path:
        case ("name",):
            return replace(validator, name=_require_name(patch.value))
        case ("validateRequestParameters",):
            return replace(validator, validate_parameters=patch.flag)
        case ("validateRequestBody",):
            return replace(validator, validate_body=patch.flag)
    raise patch.refused(VALIDATOR_PATCH_PATHS)
