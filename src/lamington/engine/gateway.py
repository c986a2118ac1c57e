"""API Gateway, put together: its rows, its operations, its data planes and what they share.

The engine's part in this is the rest of AWS: functions, logs, who owns a key. Left to others: which
request is for an API (`doors`), and every decision about it (`gateway`).
"""

from dataclasses import dataclass

from lamington.core.aws import AwsCaller, Operation, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.settings import Settings, setting_pairs
from lamington.core.sigv4 import Signers
from lamington.core.store import Store
from lamington.functions.invoke import FunctionInvoker
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Metrics
from lamington.gateway.assumed_roles import AssumedRoles
from lamington.gateway.authorization.authorizer_results import AuthorizerCaches
from lamington.gateway.authorization.gate import AuthorizationParts
from lamington.gateway.authorization.json_web_tokens import KeyFiles, TokenVerifier
from lamington.gateway.cache import CacheStore
from lamington.gateway.completed import journaling
from lamington.gateway.deployment import StageProgram, compile_stage
from lamington.gateway.domains import Domains
from lamington.gateway.entities import RestApi, Stage, Throttle
from lamington.gateway.http_client import HttpClient
from lamington.gateway.http_integrations import HttpParts
from lamington.gateway.journal import Journal
from lamington.gateway.operations.api_keys import ApiKeyOperations
from lamington.gateway.operations.authorizers import AuthorizerOperations
from lamington.gateway.operations.caches import CacheOperations
from lamington.gateway.operations.changes import ChangeOperations
from lamington.gateway.operations.client_certificates import ClientCertificateOperations
from lamington.gateway.operations.documentation import DocumentationOperations
from lamington.gateway.operations.domains import DomainOperations
from lamington.gateway.operations.gateway_responses import GatewayResponseOperations
from lamington.gateway.operations.methods import MethodOperations
from lamington.gateway.operations.models import ModelOperations
from lamington.gateway.operations.rest_apis import RestApiOperations
from lamington.gateway.operations.stages import StageOperations
from lamington.gateway.operations.tables import GatewayTables
from lamington.gateway.operations.usage_plans import UsagePlanOperations, stage_finder
from lamington.gateway.operations.validators import ValidatorOperations
from lamington.gateway.operations.vpc_links import VpcLinkOperations
from lamington.gateway.permits import Permissions
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.service_integrations import ServiceDoor, ServiceParts
from lamington.gateway.service_quotas import parse_service_quotas
from lamington.gateway.stage_parts import StageParts
from lamington.gateway.templates import Problem
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans
from lamington.gateway.v2.http.parts import HttpApiParts
from lamington.gateway.v2.http.plane import HttpDataPlane
from lamington.gateway.v2.operations.control_plane import V2ControlPlane
from lamington.gateway.v2.operations.domains import DomainOperations as DomainOperationsV2
from lamington.gateway.v2.tables import V2Tables
from lamington.gateway.v2.websocket.entrance import WebSocketEntrance
from lamington.gateway.v2.websocket.parts import WebSocketParts


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What API Gateway needs of the engine.

    `caller` and `door` lead to every AWS operation, API Gateway's own too: they are not used
    before the engine starts.
    """

    settings: Settings
    store: Store
    clock: Clock
    ids: Ids
    invoker: FunctionInvoker
    permitted: Permissions
    signers: Signers
    caller: AwsCaller
    door: ServiceDoor
    logs: LogStore
    metrics: Metrics


class Gateway:
    """All of API Gateway for one engine."""

    def __init__(self, given: Surroundings) -> None:
        settings, clock, ids = given.settings, given.clock, given.ids
        self._given = given
        self._client = HttpClient()
        self._quotas = parse_service_quotas(setting_pairs("api_quotas", settings.api_quotas))
        self._tables = GatewayTables(given.store)
        self._v2_tables = V2Tables(given.store)
        self.domains = Domains(given.store)
        self.journal = Journal(given.logs, given.metrics, settings.log_flush_s)
        self._buckets = Buckets(
            clock, account_rate=settings.throttle_rate, account_burst=settings.throttle_burst
        )
        self._plans = UsagePlans(
            store=given.store, clock=clock, buckets=self._buckets, flush_s=settings.log_flush_s
        )
        self._responses = CacheStore(clock)
        self._authorization = AuthorizationParts(
            invoker=given.invoker,
            permitted=given.permitted,
            clock=clock,
            signers=given.signers,
            tokens=TokenVerifier(clock=clock, files=KeyFiles(settings.jwks)),
            caches=AuthorizerCaches(clock),
            client_certificate_header=settings.client_certificate_header,
        )
        self._vpc_links = VpcLinkOperations(
            tables=self._tables, ids=ids, addresses=setting_pairs("vpc_links", settings.vpc_links)
        )
        self._certificates = ClientCertificateOperations(tables=self._tables, clock=clock, ids=ids)
        self._stage_parts = self._collect_stage_parts()
        self.rest = RestDataPlane(
            clock=clock,
            ids=ids,
            journal=journaling(self.journal),
            forget=self._forget,
        )
        self.http = HttpDataPlane(
            parts=self._collect_http_parts(), clock=clock, ids=ids, journal=self.journal.add
        )
        self.web_socket = WebSocketEntrance(self._collect_web_socket_parts())
        self._stages = StageOperations(
            tables=self._tables,
            clock=clock,
            ids=ids,
            data_plane=self.rest,
            compile_stage=self._compile_stage,
            quotas=self._quotas,
        )
        self._v2 = V2ControlPlane(
            tables=self._v2_tables,
            planes={"HTTP": self.http, "WEBSOCKET": self.web_socket},
            clock=clock,
            ids=ids,
            flush_authorizers=self._authorization.caches.flush,
            quotas=self._quotas,
            tag_holders={"domainnames": self.domains},
        )

    def _collect_stage_parts(self) -> StageParts:
        given = self._given
        return StageParts(
            invoker=given.invoker,
            permitted=given.permitted,
            streaming=given.invoker,
            authorization=self._authorization,
            plans=self._plans,
            buckets=self._buckets,
            cache=self._responses,
            http=HttpParts(
                client=self._client, vpc_links=self._vpc_links, certificates=self._certificates
            ),
            services=self._collect_service_parts(),
        )

    def _collect_service_parts(self) -> ServiceParts:
        given = self._given
        return ServiceParts(
            client=self._client,
            door=given.door,
            roles=AssumedRoles(given.caller, given.clock),
            endpoints=setting_pairs("endpoints", given.settings.endpoints),
            signers=given.signers,
        )

    def _collect_http_parts(self) -> HttpApiParts:
        given, authorization = self._given, self._authorization

        def emulates(operation: str) -> bool:
            service, _, name = operation.partition(":")
            return given.door.emulates(service, name)

        return HttpApiParts(
            invoker=given.invoker,
            permitted=given.permitted,
            clock=given.clock,
            caller=given.caller,
            signers=given.signers,
            tokens=authorization.tokens,
            caches=authorization.caches,
            buckets=self._buckets,
            client=self._client,
            vpc_links=self._vpc_links,
            emulates=emulates,
        )

    def _collect_web_socket_parts(self) -> WebSocketParts:
        given = self._given
        return WebSocketParts(
            invoker=given.invoker,
            permitted=given.permitted,
            clock=given.clock,
            ids=given.ids,
            signers=given.signers,
            buckets=self._buckets,
            client=self._client,
            plans=self._plans,
            journal=self.journal,
            services=self._collect_service_parts(),
        )

    def _compile_stage(
        self, *, api: RestApi, stage: Stage, scope: Scope, is_test: bool = False
    ) -> StageProgram:
        return compile_stage(
            api=api, stage=stage, scope=scope, parts=self._stage_parts, is_test=is_test
        )

    def _forget(self, api_id: str, stage: str) -> None:
        """Drop what was kept of the answers and of the callers of a stage that is gone."""
        self._responses.discard(api_id, stage)
        self._authorization.caches.flush(api_id, stage)

    def operations(self) -> dict[str, Operation]:
        """Every operation of `apigateway` and `apigatewayv2`."""
        tables, clock, ids = self._tables, self._given.clock, self._given.ids
        timeout_max_ms = self._given.settings.integration_timeout_max_ms
        find_stage = stage_finder(tables, self._v2_tables)
        api_keys = ApiKeyOperations(plans=self._plans, clock=clock, ids=ids, quotas=self._quotas)
        usage_plans = UsagePlanOperations(
            plans=self._plans,
            clock=clock,
            ids=ids,
            find_stage=find_stage,
            quotas=self._quotas,
        )
        rest_apis = RestApiOperations(
            tables=tables,
            clock=clock,
            ids=ids,
            withdraw=self.rest.withdraw,
            tag_holders={
                "domainnames": self.domains,
                "vpclinks": self._vpc_links,
                "clientcertificates": self._certificates,
                "apikeys": api_keys,
                "usageplans": usage_plans,
            },
            timeout_max_ms=timeout_max_ms,
            throttle=Throttle(
                rate_limit=self._buckets.default_rate, burst_limit=self._buckets.default_burst
            ),
            quotas=self._quotas,
        )
        authorizers = self._authorization
        domains_v2 = DomainOperationsV2(
            domains=self.domains,
            has_stage=lambda scope, api_id, stage: bool(find_stage(scope, api_id, stage)),
            clock=clock,
            ids=ids,
        )
        parts = (
            rest_apis,
            MethodOperations(
                tables=tables, ids=ids, timeout_max_ms=timeout_max_ms, quotas=self._quotas
            ),
            ChangeOperations(tables=tables, timeout_max_ms=timeout_max_ms),
            ModelOperations(tables=tables, ids=ids),
            ValidatorOperations(tables=tables, ids=ids),
            GatewayResponseOperations(tables=tables),
            CacheOperations(
                tables=tables, responses=self._responses, authorizers=authorizers.caches
            ),
            AuthorizerOperations(tables=tables, ids=ids, parts=authorizers, quotas=self._quotas),
            DocumentationOperations(tables=tables, clock=clock, ids=ids),
            DomainOperations(domains=self.domains, tables=tables, clock=clock, ids=ids),
            api_keys,
            usage_plans,
            self._vpc_links,
            self._certificates,
            self._stages,
            self._v2,
            domains_v2,
        )
        return {name: run for each in parts for name, run in each.operations().items()}

    def restore(self) -> None:
        """Put everything that is written down into service: what a start of the engine does."""
        self._plans.restore()
        self._stages.restore()
        self._v2.restore()

    def flush(self) -> None:
        """Write down what was counted and is not yet in the store."""
        self._plans.flush()
        self.journal.flush()

    async def close(self) -> None:
        """End the connections to backends and to WebSocket clients."""
        await self.web_socket.close()
        await self._client.close()

    def differences(self, api_id: str, stage: str) -> list[str]:
        """What a deployed stage asks for and does not get, as sentences."""
        program = self.rest.programs.get((api_id, stage))
        if program is not None:
            return [*program.unemulated, *map(_failing, program.problems)]
        if self.http.serves(api_id):
            failing = map(_failing, self.http.problems(api_id, stage))
            return [*self.http.unemulated(api_id, stage), *failing]
        return self.web_socket.differences(api_id, stage)


def _failing(problem: Problem) -> str:
    return f"`{problem.method} {problem.path}` fails, as on AWS: {problem.message}"
