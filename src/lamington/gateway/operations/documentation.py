"""The API Gateway operations on documentation parts and versions, and the kinds of SDK."""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.documentation import (
    PARTS_MAX,
    documented,
    location_key,
    read_location,
    require_properties,
)
from lamington.gateway.entities import (
    BadRequestException,
    ConflictException,
    DocumentationPart,
    DocumentationVersion,
    NotFoundException,
    RestApi,
)
from lamington.gateway.openapi import definition_version, parse_definition
from lamington.gateway.operations.tables import GatewayTables, listing, parse_patches
from lamington.gateway.results import parse_time, shown, without

SDK_TYPES = (
    ("android", "Android"),
    ("java", "Java SDK"),
    ("javascript", "JavaScript"),
    ("objectivec", "iOS (Objective-C)"),
    ("ruby", "Ruby"),
    ("swift", "iOS (Swift)"),
)


class DocumentationOperations:
    """What AWS's API says of an API's documentation."""

    def __init__(self, *, tables: GatewayTables, clock: Clock, ids: Ids) -> None:
        self._tables = tables
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigateway:CreateDocumentationPart": self.create_documentation_part,
            "apigateway:GetDocumentationPart": self.get_documentation_part,
            "apigateway:GetDocumentationParts": self.get_documentation_parts,
            "apigateway:UpdateDocumentationPart": self.update_documentation_part,
            "apigateway:DeleteDocumentationPart": self.delete_documentation_part,
            "apigateway:ImportDocumentationParts": self.import_documentation_parts,
            "apigateway:CreateDocumentationVersion": self.create_documentation_version,
            "apigateway:GetDocumentationVersion": self.get_documentation_version,
            "apigateway:GetDocumentationVersions": self.get_documentation_versions,
            "apigateway:UpdateDocumentationVersion": self.update_documentation_version,
            "apigateway:DeleteDocumentationVersion": self.delete_documentation_version,
            "apigateway:GetSdk": self.get_sdk,
            "apigateway:GetSdkType": self.get_sdk_type,
            "apigateway:GetSdkTypes": self.get_sdk_types,
        }

    # Parts

    async def create_documentation_part(self, params: Params, scope: Scope) -> Result:
        api = self._api(params, scope)
        location = read_location(params["location"])
        part = DocumentationPart(
            part_id=self._ids.token(6),
            location=location,
            properties=require_properties(params["properties"]),
        )
        if any(
            location_key(each.location) == location_key(location)
            for each in api.documentation_parts.values()
        ):
            named = ", ".join(f"{name} '{value}'" for name, value in location.items())
            raise ConflictException(
                f"Documentation part already exists for the specified location: {named}"
            )
        if len(api.documentation_parts) >= PARTS_MAX:
            raise BadRequestException(
                f"Maximum number of documentation parts ({PARTS_MAX}) exceeded"
            )
        self._put(api, part, scope)
        return _part_result(part)

    async def get_documentation_part(self, params: Params, scope: Scope) -> Result:
        return _part_result(_require_part(self._api(params, scope), params))

    async def get_documentation_parts(self, params: Params, scope: Scope) -> Result:
        """The parts of an API, by type, name, path and whether somebody wrote them.

        AWS: `locationStatus` UNDOCUMENTED lists what has no part.
        Differs: nothing is listed for UNDOCUMENTED.
        """
        if params.get("locationStatus") == "UNDOCUMENTED":
            return {"items": []}
        wanted_path = params.get("path") or ""
        found = [
            (each.part_id, each)
            for each in self._api(params, scope).documentation_parts.values()
            if params.get("type") in (None, "", each.location["type"])
            and (params.get("nameQuery") or "") in each.location.get("name", "")
            and each.location.get("path", "").startswith(wanted_path)
        ]
        return listing(params, found, _part_result)

    async def update_documentation_part(self, params: Params, scope: Scope) -> Result:
        api = self._api(params, scope)
        part = _require_part(api, params)
        for patch in parse_patches(params):
            if patch.path != ("properties",) or patch.op != "replace":
                raise patch.refused(["/properties"])
            part = replace(part, properties=require_properties(patch.value))
        self._put(api, part, scope)
        return _part_result(part)

    async def delete_documentation_part(self, params: Params, scope: Scope) -> Result:
        api = self._api(params, scope)
        gone = _require_part(api, params).part_id
        parts = without(api.documentation_parts, gone)
        self._tables.apis.put(scope, replace(api, documentation_parts=parts))
        return {}

    async def import_documentation_parts(self, params: Params, scope: Scope) -> Result:
        api = self._api(params, scope)
        mode = params.get("mode") or "merge"
        if mode not in ("merge", "overwrite"):
            raise BadRequestException(
                'Enumeration value of documentation import mode must be "overwrite" or "merge"'
            )
        document = parse_definition(params.get("body") or b"")
        version = definition_version(document)
        api, ids = documented(api, document, version, self._ids, merge=mode == "merge")
        self._tables.apis.put(scope, api)
        return {"ids": ids, "warnings": []}

    def _put(self, api: RestApi, part: DocumentationPart, scope: Scope) -> None:
        parts = {**api.documentation_parts, part.part_id: part}
        self._tables.apis.put(scope, replace(api, documentation_parts=parts))

    # Versions

    async def create_documentation_version(self, params: Params, scope: Scope) -> Result:
        """Snapshot the parts, and attach the snapshot to a stage where one is named."""
        api = self._api(params, scope)
        name = params["documentationVersion"]
        if name in api.documentation_versions:
            raise ConflictException("A documentation version already exists with this name")
        if not api.documentation_parts:
            raise BadRequestException("No documentation parts exist for this API")
        version = DocumentationVersion(
            version=name,
            description=params.get("description") or "",
            created=self._clock.now().isoformat(),
            parts=dict(api.documentation_parts),
        )
        versions = {**api.documentation_versions, name: version}
        stage = None
        if params.get("stageName"):
            stage = replace(
                self._tables.require_stage(scope, api.api_id, params["stageName"]),
                documentation_version=name,
            )
        with self._tables.transaction():
            self._tables.apis.put(scope, replace(api, documentation_versions=versions))
            if stage is not None:
                self._tables.stages.put(scope, stage)
        return _version_result(version)

    async def get_documentation_version(self, params: Params, scope: Scope) -> Result:
        return _version_result(_require_version(self._api(params, scope), params))

    async def get_documentation_versions(self, params: Params, scope: Scope) -> Result:
        versions = self._api(params, scope).documentation_versions
        return listing(params, versions.items(), _version_result)

    async def update_documentation_version(self, params: Params, scope: Scope) -> Result:
        api = self._api(params, scope)
        version = _require_version(api, params)
        for patch in parse_patches(params):
            if patch.path != ("description",) or patch.op != "replace":
                raise patch.refused(["/description"])
            version = replace(version, description=patch.value)
        versions = {**api.documentation_versions, version.version: version}
        self._tables.apis.put(scope, replace(api, documentation_versions=versions))
        return _version_result(version)

    async def delete_documentation_version(self, params: Params, scope: Scope) -> Result:
        api = self._api(params, scope)
        gone = _require_version(api, params).version
        if any(
            stage.documentation_version == gone
            for stage in self._tables.stages.all(scope, api.api_id)
        ):
            raise BadRequestException(
                "Active stages pointing to this documentation version must be moved or deleted"
            )
        versions = without(api.documentation_versions, gone)
        self._tables.apis.put(scope, replace(api, documentation_versions=versions))
        return {}

    # SDKs

    async def get_sdk(self, params: Params, scope: Scope) -> Result:
        """Refused: SDKs are not generated here.

        AWS: API reference, GetSdk; a zip archive of generated sources.
        Differs: always a BadRequestException that says what to do instead.
        """
        self._tables.require_stage(scope, params["restApiId"], params["stageName"])
        raise BadRequestException(
            f"SDKs are not generated here: asked for `{params['sdkType']}`",
            hint="export the definition (GetExport) and generate a client from it, such as with"
            " openapi-generator",
        )

    async def get_sdk_type(self, params: Params, scope: Scope) -> Result:
        for name, friendly_name in SDK_TYPES:
            if name == params["id"]:
                return _sdk_type_result(name, friendly_name)
        raise NotFoundException("Invalid SDK type specified")

    async def get_sdk_types(self, params: Params, scope: Scope) -> Result:
        rows = [(row[0], row) for row in SDK_TYPES]
        return listing(params, rows, lambda row: _sdk_type_result(*row))

    def _api(self, params: Params, scope: Scope) -> RestApi:
        return self._tables.require_api(scope, params["restApiId"])


def _require_part(api: RestApi, params: Params) -> DocumentationPart:
    part = api.documentation_parts.get(params["documentationPartId"])
    if part is None:
        raise NotFoundException("Invalid Documentation part identifier specified")
    return part


def _require_version(api: RestApi, params: Params) -> DocumentationVersion:
    version = api.documentation_versions.get(params["documentationVersion"])
    if version is None:
        raise NotFoundException("Invalid Documentation version identifier specified")
    return version


def _part_result(part: DocumentationPart) -> Result:
    return {"id": part.part_id, "location": dict(part.location), "properties": part.properties}


def _version_result(version: DocumentationVersion) -> Result:
    return shown(
        {
            "version": version.version,
            "createdDate": parse_time(version.created),
            "description": version.description,
        }
    )


def _sdk_type_result(name: str, friendly_name: str) -> Result:
    return {"id": name, "friendlyName": friendly_name, "configurationProperties": []}
