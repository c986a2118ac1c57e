"""The operations on models: the schemas that an API's messages may have.

Left to others: to validate by them (the data plane of WebSocket APIs).
"""

from dataclasses import replace
from typing import Any

import msgspec

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import ConflictException
from lamington.gateway.results import shown, without
from lamington.gateway.v2.entities import Api, Model
from lamington.gateway.v2.operations.members import given
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.rules import require_model as require_rules
from lamington.gateway.v2.tables import V2Tables, listing, require_model

DEPTH_MAX = 100

_MEMBERS = {
    "Name": "name",
    "ContentType": "content_type",
    "Schema": "schema",
    "Description": "description",
}


class ModelOperations:
    """What AWS's API says of models."""

    def __init__(self, *, tables: V2Tables, publication: Publication, ids: Ids) -> None:
        self._tables = tables
        self._publication = publication
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateModel": self.create_model,
            "apigatewayv2:GetModel": self.get_model,
            "apigatewayv2:GetModels": self.get_models,
            "apigatewayv2:GetModelTemplate": self.get_model_template,
            "apigatewayv2:UpdateModel": self.update_model,
            "apigatewayv2:DeleteModel": self.delete_model,
        }

    async def create_model(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        model = Model(model_id=self._ids.token(6), **given(params, _MEMBERS))
        self._put(api, model, scope)
        return model_result(model)

    async def get_model(self, params: Params, scope: Scope) -> Result:
        return model_result(self._found(params, scope)[1])

    async def get_models(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        return listing(params, api.models.items(), model_result)

    async def get_model_template(self, params: Params, scope: Scope) -> Result:
        """A mapping template that makes a message of the model's form out of one like it."""
        _, model = self._found(params, scope)
        return {"Value": render_template(msgspec.json.decode(model.schema or "{}"))}

    async def update_model(self, params: Params, scope: Scope) -> Result:
        api, before = self._found(params, scope)
        model = replace(before, **given(params, _MEMBERS))
        self._put(api, model, scope)
        return model_result(model)

    async def delete_model(self, params: Params, scope: Scope) -> Result:
        api, model = self._found(params, scope)
        for route in api.routes.values():
            if model.name in route.request_models.values():
                raise ConflictException(
                    f"Cannot delete model '{model.name}', is referenced in route: {route.route_key}"
                )
        kept = without(api.models, model.model_id)
        self._publication.put_api(replace(api, models=kept), scope)
        return {}

    def _found(self, params: Params, scope: Scope) -> tuple[Api, Model]:
        api = self._tables.require_api(scope, params["ApiId"])
        return api, require_model(api, params["ModelId"])

    def _put(self, api: Api, model: Model, scope: Scope) -> None:
        require_rules(model.name, model.schema)
        for each in api.models.values():
            if each.name == model.name and each.model_id != model.model_id:
                raise ConflictException(f"Model name already exists for this API: {model.name}")
        models = {**api.models, model.model_id: model}
        self._publication.put_api(replace(api, models=models), scope)


def model_result(model: Model) -> Result:
    """A model as AWS shows it."""
    return shown(
        {
            "ModelId": model.model_id,
            "Name": model.name,
            "ContentType": model.content_type,
            "Schema": model.schema,
            "Description": model.description,
        }
    )


def render_template(schema: Any) -> str:
    """The sample mapping template of a schema.

    Differs: references to other models are left as empty objects.
    """
    return "#set($inputRoot = $input.path('$'))\n" + _rendered(schema, "$inputRoot", 0)


def _rendered(schema: Any, source: str, depth: int) -> str:
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return "{}"
    indent = "  " * depth
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(properties, dict):
        lines = [
            f"{indent}  {msgspec.json.encode(str(name)).decode()} : "
            + _rendered(each, f"{source}.{name}", depth + 1)
            for name, each in properties.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(items, dict):
        one = _rendered(items, "$elem", depth + 1)
        return (
            "[\n##TODO: Update this foreach loop to reference array from input json\n"
            f"#foreach($elem in {source})\n{indent}  {one}#if($foreach.hasNext),#end\n#end\n"
            f"{indent}]"
        )
    match schema.get("type"):
        case "string":
            return f'"{source}"'
        case "integer" | "number" | "boolean":
            return source
    return "{}"
