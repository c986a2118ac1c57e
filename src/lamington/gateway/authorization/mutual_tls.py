"""The client's certificate, as a proxy in front that speaks mutual TLS hands it on in a header.

Left to others: to verify it. The proxy does that with the truststore of the API's domain.

Differs: AWS terminates TLS itself and refuses a client without a certificate that its truststore
knows; here no TLS is spoken, nobody is refused for that, and `$context.identity.clientCert` is
known only where the setting `client_certificate_header` names the proxy's header.
"""

import binascii
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lamington.core.clock import MONTHS
from lamington.gateway.mapping import Gate, MethodRequest

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CERTIFICATES_KEPT = 256


def compile_client_certificate(header: str) -> Gate | None:
    """Compile the reading of a client's certificate, None where no header is named.

    The header's value is PEM, percent-encoded as proxies send it, or base64 of DER. What is no
    certificate counts as none.
    """
    if not header:
        return None
    name = header.lower()

    def gate(request: MethodRequest) -> None:
        value = request.known.get(name)
        if value:
            certificate = read_certificate(value)
            if certificate is not None:
                request.identity = {**request.identity, "clientCert": certificate}

    return gate


@lru_cache(maxsize=CERTIFICATES_KEPT)
def read_certificate(text: str) -> dict[str, Any] | None:
    """The members of `clientCert` from a header's value, None for what is no certificate.

    AWS: API Gateway developer guide, mapping template reference, `identity.clientCert`.
    """
    # Here, since few have such a proxy and the library takes its time to load.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    pem = unquote(text).strip()
    try:
        certificate = (
            x509.load_pem_x509_certificate(pem.encode())
            if pem.startswith("-----BEGIN")
            else x509.load_der_x509_certificate(binascii.a2b_base64(pem))
        )
        return _members(certificate, certificate.public_bytes(Encoding.PEM).decode())
    except ValueError:
        return None


def _members(certificate: "Certificate", pem: str) -> dict[str, Any]:
    serial = f"{certificate.serial_number:x}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    return {
        "clientCertPem": pem,
        "subjectDN": certificate.subject.rfc4514_string(),
        "issuerDN": certificate.issuer.rfc4514_string(),
        "serialNumber": ":".join(serial[at : at + 2] for at in range(0, len(serial), 2)),
        "validity": {
            "notBefore": _moment(certificate.not_valid_before_utc),
            "notAfter": _moment(certificate.not_valid_after_utc),
        },
    }


def _moment(at: datetime) -> str:
    return f"{MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S} {at.year} GMT"
