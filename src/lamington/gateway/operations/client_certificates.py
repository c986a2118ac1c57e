"""The API Gateway operations on client certificates: real ones, that stages show to backends.

Left to others: the connection on which one is shown (`http_client`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.entities import (
    BadRequestException,
    ClientCertificateRow,
    NotFoundException,
)
from lamington.gateway.http_client import ClientCertificate
from lamington.gateway.operations.tables import GatewayTables, listing, parse_patches
from lamington.gateway.results import parse_time, shown

VALID_DAYS = 365
KEY_BITS = 2048
PATCH_PATHS = ("/description",)


class ClientCertificateOperations:
    """What AWS's API says of client certificates; each lasts for a year."""

    def __init__(self, *, tables: GatewayTables, clock: Clock, ids: Ids) -> None:
        self._tables = tables
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:GenerateClientCertificate": self.generate_client_certificate,
            "apigateway:GetClientCertificate": self.get_client_certificate,
            "apigateway:GetClientCertificates": self.get_client_certificates,
            "apigateway:UpdateClientCertificate": self.update_client_certificate,
            "apigateway:DeleteClientCertificate": self.delete_client_certificate,
        }

    def certificate(self, certificate_id: str, scope: Scope) -> ClientCertificate | None:
        """The certificate and key that a stage shows, None for an unknown one."""
        row = self._tables.client_certificates.get(scope, certificate_id)
        if row is None:
            return None
        return ClientCertificate(certificate=row.certificate, private_key=row.private_key)

    def tags(self, scope: Scope, row_id: str, /) -> dict[str, str]:
        return self._row({"clientCertificateId": row_id}, scope).tags

    def put_tags(self, scope: Scope, row_id: str, tags: dict[str, str], /) -> None:
        row = self._row({"clientCertificateId": row_id}, scope)
        self._tables.client_certificates.put(scope, replace(row, tags=tags))

    async def generate_client_certificate(self, params: Params, scope: Scope) -> Result:
        """Make a key and a certificate of its own signature.

        AWS: API Gateway developer guide, client-side TLS certificates: RSA, 2048 bits.
        """
        created = self._clock.now()
        expires = created + timedelta(days=VALID_DAYS)
        certificate, private_key = await asyncio.to_thread(_made, created, expires)
        row = ClientCertificateRow(
            certificate_id=self._ids.token(6),
            description=params.get("description") or "",
            certificate=certificate,
            private_key=private_key,
            created=created.isoformat(),
            expires=expires.isoformat(),
            tags=dict(params.get("tags") or {}),
        )
        self._tables.client_certificates.put(scope, row)
        return client_certificate_result(row)

    async def get_client_certificate(self, params: Params, scope: Scope) -> Result:
        return client_certificate_result(self._row(params, scope))

    async def get_client_certificates(self, params: Params, scope: Scope) -> Result:
        rows = self._tables.client_certificates.all(scope)
        return listing(
            params, [(row.certificate_id, row) for row in rows], client_certificate_result
        )

    async def update_client_certificate(self, params: Params, scope: Scope) -> Result:
        row = self._row(params, scope)
        for patch in parse_patches(params):
            if patch.op != "replace" or patch.path != ("description",):
                raise patch.refused(PATCH_PATHS)
            row = replace(row, description=patch.value)
        self._tables.client_certificates.put(scope, row)
        return client_certificate_result(row)

    async def delete_client_certificate(self, params: Params, scope: Scope) -> Result:
        row = self._row(params, scope)
        used = [
            f"{stage.api_id}:{stage.stage_name}"
            for stage in self._tables.stages.all(scope)
            if stage.client_certificate_id == row.certificate_id
        ]
        if used:
            raise BadRequestException(
                f"Client certificate '{row.certificate_id}' is used by stages [{', '.join(used)}]",
                hint="take it from the stages first",
            )
        self._tables.client_certificates.delete(scope, row.certificate_id)
        return {}

    def _row(self, params: Params, scope: Scope) -> ClientCertificateRow:
        row = self._tables.client_certificates.get(scope, params["clientCertificateId"])
        if row is None:
            raise NotFoundException("Invalid Client Certificate identifier specified")
        return row


def client_certificate_result(row: ClientCertificateRow) -> Result:
    """A client certificate as AWS shows it: never with its key."""
    return shown(
        {
            "clientCertificateId": row.certificate_id,
            "description": row.description,
            "pemEncodedCertificate": row.certificate,
            "createdDate": parse_time(row.created),
            "expirationDate": parse_time(row.expires),
            "tags": dict(row.tags),
        }
    )


def _made(created: datetime, expires: datetime) -> tuple[str, str]:
    """A certificate and its key, PEM text both."""
    # The library is costly to import, and few engines ever make a certificate.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Seattle"),
            x509.NameAttribute(NameOID.COMMON_NAME, "ApiGateway"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(created)
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
