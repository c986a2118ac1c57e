"""AWS services other than Lambda behind methods: integration type `AWS`, by action or by path.

The integration request becomes an AWS request in its service's own protocol, as the service models
describe it, signed with the credentials of the integration. It goes to the engine's own AWS
endpoint, through a door that the engine holds open, or to another one that settings name.
Templates and mappings are `request_mapping`'s and `response_mapping`'s.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from lamington.core.aws import Scope
from lamington.core.http import Headers, Request, Response
from lamington.core.sigv4 import Signers
from lamington.gateway import entities
from lamington.gateway.assumed_roles import CALLER, AssumedRoles, AwsCredentials
from lamington.gateway.http_client import (
    AddressError,
    HttpClient,
    NetworkError,
    Terms,
    TooLargeError,
)
from lamington.gateway.http_integrations import ANSWER_MAX_BYTES, Exchange
from lamington.gateway.integrations import (
    IntegrationRequest,
    IntegrationResponse,
    Misconfigured,
    timed_out,
)
from lamington.gateway.mapping import (
    NO_IDENTITY,
    MethodRequest,
    RouteConstants,
    substitute_stage_variables,
)
from lamington.gateway.query_replies import render_query_reply
from lamington.gateway.request_mapping import compile_request_mapping
from lamington.gateway.response_mapping import compile_response_mapping
from lamington.gateway.responses import Refusal, configuration_error
from lamington.gateway.service_addresses import (
    MODEL_NAMES,
    QUERY_BY_ACTION,
    SERVICE_URI,
    Address,
    Service,
    compile_action,
    compile_path,
    service_of,
)
from lamington.gateway.templates import BinaryTypes, Context, Note, make_method_context

UNKNOWN_SECRET = "unknown"
"""Signs for a caller whose secret nobody here knows: it is believed where keys are trusted."""


class ServiceDoor(Protocol):
    """The engine's own AWS endpoint, without a socket in between."""

    def emulates(self, service: str, operation: str = "") -> bool:
        """Whether the engine has a service, by the name it is signed for, and an operation."""
        ...

    async def handle(self, request: Request) -> Response: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """What integrations with AWS services need of the engine.

    `endpoints` maps a service, as an integration's URI names it, to the address where it is
    reached; `*` stands for every service that the engine does not have itself. `signers` know
    the secrets of callers, for integrations that act in their name.
    """

    client: HttpClient
    door: ServiceDoor
    roles: AssumedRoles
    endpoints: Mapping[str, str] = field(default_factory=dict)
    signers: Signers | None = None


def compile_service(
    integration: entities.MethodIntegration,
    *,
    method: entities.Method,
    scope: Scope,
    route: RouteConstants,
    binary_types: BinaryTypes,
    parts: ServiceParts,
    note: Note,
) -> Exchange:
    """Compile an integration with an AWS service; raises Misconfigured.

    AWS: API reference, Integration: `uri`; API Gateway developer guide, AWS integrations.
    """
    found = SERVICE_URI.fullmatch(substitute_stage_variables(integration.uri, route.variables))
    if found is None:
        raise Misconfigured("AWS ARN for integration must contain path or action")
    role = substitute_stage_variables(integration.credentials, route.variables)
    if not role:
        raise Misconfigured("Role ARN must be specified for AWS integrations")
    service = service_of(found["name"], found["region"] or scope.region)
    action = re.split("[&?]", found["rest"], maxsplit=1)[0] if found["kind"] == "action" else ""
    endpoint = endpoint_of(found["name"], service, action, parts)
    if found["kind"] == "action":
        make_address = compile_action(service, found["rest"], integration)
    else:
        make_address = compile_path(service, found["rest"], integration)
    map_request = compile_request_mapping(integration, route, binary_types, note)
    acts_as_caller = role == CALLER

    def make_request(request: MethodRequest, context: Context) -> IntegrationRequest:
        made = map_request(request, context)
        address = make_address(made)
        made.method = address.method
        made.uri = f"https://{service.host}{address.path}"
        if address.query:
            made.uri = f"{made.uri}?{address.query}"
        made.headers = _headers(request, route, address, made.parameters.headers)
        if address.method in _WITHOUT_BODY:
            made.body = b""
        if acts_as_caller:
            made.access_key = _access_key(request)
        return made

    return Exchange(
        context=make_method_context(route),
        map_request=make_request,
        integration=ServiceIntegration(
            parts,
            service,
            action=action,
            role="" if acts_as_caller else role,
            endpoint=endpoint,
            timeout_s=integration.timeout_ms / 1000,
            scope=scope,
        ),
        map_response=compile_response_mapping(integration, method, route, binary_types, note),
    )


def endpoint_of(name: str, service: Service, action: str, parts: ServiceParts) -> str:
    """The address that settings give a service, "" for the engine's own; raises Misconfigured."""
    for each in (name, service.name, MODEL_NAMES.get(service.name, service.name)):
        if each in parts.endpoints:
            return parts.endpoints[each].rstrip("/")
    if parts.door.emulates(service.signing_name, action):
        return ""
    if "*" in parts.endpoints:
        return parts.endpoints["*"].rstrip("/")
    what = f"`{action}` of the service `{service.name}`" if action else f"`{service.name}`"
    raise Misconfigured(
        f"Lamington does not emulate {what}",
        hint=f"name an endpoint that has it: LAMINGTON_ENDPOINTS={service.name}=http://localhost:"
        "8000",
    )


def _headers(
    request: MethodRequest, route: RouteConstants, address: Address, mapped: Mapping[str, str]
) -> list[tuple[str, str]]:
    """What every request has, over it what the service's protocol asks for, over it mappings."""
    headers = {
        "content-type": ("Content-Type", request.known.get("content-type", "application/json")),
        "accept": ("Accept", "application/json"),
        "user-agent": ("User-Agent", f"AmazonAPIGateway_{route.api_id}"),
        "x-amzn-trace-id": ("X-Amzn-Trace-Id", request.trace_id.partition(";")[0]),
    }
    for name, value in (*address.headers, *mapped.items()):
        headers[name.lower()] = (name, value)
    return list(headers.values())


_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")


def _access_key(request: MethodRequest) -> str:
    known = "" if request.identity is NO_IDENTITY else request.identity.get("accessKey")
    if not known:
        found = _CREDENTIAL.search(request.known.get("authorization", ""))
        known = found[1] if found else ""
    return str(known)


_WITHOUT_BODY = frozenset({"GET", "HEAD"})


# The integration


class ServiceIntegration:
    """Signs a request that is made already, and hands it to its service."""

    __slots__ = ("_action", "_endpoint", "_parts", "_role", "_scope", "_service", "_terms")
    uri = ""

    def __init__(
        self,
        parts: ServiceParts,
        service: Service,
        *,
        action: str,
        role: str,
        endpoint: str,
        timeout_s: float,
        scope: Scope,
    ) -> None:
        """Without a `role` it acts as its caller; without an `endpoint` in this process."""
        self._parts = parts
        self._service = service
        self._action = action
        self._role = role
        self._endpoint = endpoint
        self._terms = Terms(timeout_s=timeout_s, answer_bytes_max=ANSWER_MAX_BYTES)
        self._scope = scope

    async def send(self, request: IntegrationRequest) -> IntegrationResponse:
        """Send the request to its service.

        AWS: what the service refuses is an answer, selected by its status; a role that cannot be
        assumed is a 500.
        """
        return await asyncio.get_running_loop().create_task(self._send(request))

    async def _send(self, request: IntegrationRequest) -> IntegrationResponse:
        try:
            async with asyncio.timeout(self._terms.timeout_s):
                credentials = await self._credentials(request)
                if self._endpoint:
                    answer = await self._send_there(request, credentials)
                else:
                    answer = await self._send_here(request, credentials)
        except TimeoutError:
            raise timed_out(
                f"`{self._service.name}` did not answer within {self._terms.timeout_s:g} s"
            ) from None
        return self._as_json(request, answer)

    async def _credentials(self, request: IntegrationRequest) -> AwsCredentials | None:
        """What to sign with; None for the user's own, towards AWS itself.

        Differs: towards AWS itself the role is not assumed.
        """
        if self._endpoint and (urlsplit(self._endpoint).hostname or "").endswith(
            (".amazonaws.com", ".amazonaws.com.cn")
        ):
            return None
        if self._role:
            return await self._parts.roles.credentials(self._role, self._scope)
        if not request.access_key:
            raise configuration_error(
                "Invalid caller credentials",
                hint="the integration acts as its caller: give the method AWS_IAM authorization",
            )
        signers = self._parts.signers
        signer = None if signers is None else signers.find(request.access_key, "")
        return AwsCredentials(
            access_key=request.access_key,
            secret=(signer.secret if signer else "") or UNKNOWN_SECRET,
            session_token=signer.session_token if signer else "",
        )

    async def _send_here(
        self, request: IntegrationRequest, credentials: AwsCredentials | None
    ) -> IntegrationResponse:
        address = urlsplit(request.uri)
        headers = self._signed(request, request.uri, credentials)
        response = await self._parts.door.handle(
            Request(
                method=request.method,
                path=address.path or "/",
                query=address.query,
                headers=Headers([("Host", address.netloc), *headers]),
                body=request.body,
            )
        )
        body = response.body
        if response.stream is not None:
            body = b"".join([piece async for piece in response.stream])
        if response.status == 501:
            raise configuration_error(
                f"Lamington does not emulate this request to `{self._service.name}`",
                hint=body.decode("utf-8", "replace"),
            )
        return IntegrationResponse(response.status, body, response.headers)

    async def _send_there(
        self, request: IntegrationRequest, credentials: AwsCredentials | None
    ) -> IntegrationResponse:
        path = request.uri.partition("://")[2].partition("/")[2]
        uri = f"{self._endpoint}/{path}"
        headers = self._signed(request, uri, credentials)
        try:
            answer = await self._parts.client.send(
                request.method, uri, headers, request.body, self._terms
            )
        except NetworkError as error:
            raise Refusal(
                "Execution failed due to a network error communicating with endpoint",
                response_type="INTEGRATION_FAILURE",
                hint=f"{uri}: {error.message}",
            ) from None
        except (AddressError, TooLargeError) as error:
            raise configuration_error(error.message) from None
        return IntegrationResponse(answer.status, answer.body, answer.headers)

    def _signed(
        self, request: IntegrationRequest, uri: str, credentials: AwsCredentials | None
    ) -> list[tuple[str, str]]:
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        found: Any
        if credentials is None:
            from botocore.session import get_session

            found = get_session().get_credentials()
            if found is None:
                raise configuration_error(
                    f"there are no credentials to call `{self._endpoint}` with",
                    hint="give the engine AWS credentials, as its other tools take them",
                )
        else:
            found = Credentials(
                credentials.access_key, credentials.secret, credentials.session_token or None
            )
        signs = S3SigV4Auth if self._service.signing_name == "s3" else SigV4Auth
        signed: Any = AWSRequest(
            method=request.method, url=uri, data=request.body, headers=dict(request.headers)
        )
        signs(found, self._service.signing_name, self._service.region).add_auth(signed)
        return [(name, value) for name, value in signed.headers.items()]

    def _as_json(
        self, request: IntegrationRequest, answer: IntegrationResponse
    ) -> IntegrationResponse:
        """The answer of a query service as its clients get it that accept JSON.

        AWS: API Gateway sends `Accept: application/json`, and query services heed it (recorded).
        """
        model = self._service.model
        accepts = next((value for name, value in request.headers if name.lower() == "accept"), "")
        if model is None or accepts != "application/json" or not _is_xml(answer):
            return answer
        if not ({"query", "ec2"} & set(self._service.protocols)) and (
            self._service.name not in QUERY_BY_ACTION
        ):
            return answer
        body = render_query_reply(answer.body, model, self._action or _named_action(request))
        if body is None:
            return answer
        headers = [
            (name, "application/json" if name.lower() == "content-type" else value)
            for name, value in answer.headers
            if name.lower() != "content-length"
        ]
        return IntegrationResponse(answer.status, body, headers)


def _is_xml(answer: IntegrationResponse) -> bool:
    return (
        any(name.lower() == "content-type" and "xml" in value for name, value in answer.headers)
        or answer.body.lstrip()[:1] == b"<"
    )


def _named_action(request: IntegrationRequest) -> str:
    query = urlsplit(request.uri).query
    fields = dict(parse_qsl(query)) | dict(parse_qsl(request.body.decode("utf-8", "replace")))
    return fields.get("Action", "")
