"""The certificate that a proxy hands on: read where a header is named, and nowhere else."""

import base64
from datetime import UTC, datetime
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from authorization_world import AuthorizedGateway
from lamington.gateway.authorization.mutual_tls import read_certificate


def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client.example.com")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example issuer")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(0xA1B2C)
        .not_valid_before(datetime(2019, 5, 28, 12, 30, 2, tzinfo=UTC))
        .not_valid_after(datetime(2021, 8, 5, 9, 36, 4, tzinfo=UTC))
        .sign(key, SHA256())
    )


def test_certificate_is_read_in_both_forms() -> None:
    made = certificate()
    pem = made.public_bytes(Encoding.PEM).decode()
    der = base64.b64encode(made.public_bytes(Encoding.DER)).decode()
    expected = {
        "clientCertPem": pem,
        "subjectDN": "CN=client.example.com",
        "issuerDN": "CN=Example issuer",
        "serialNumber": "0a:1b:2c",
        "validity": {
            "notBefore": "May 28 12:30:02 2019 GMT",
            "notAfter": "Aug  5 09:36:04 2021 GMT",
        },
    }
    assert read_certificate(quote(pem)) == expected
    assert read_certificate(der) == expected


def test_what_is_no_certificate_is_none() -> None:
    for text in ("x", "-----BEGIN%20CERTIFICATE-----", quote("-----BEGIN CERTIFICATE-----\nx")):
        assert read_certificate(text) is None


async def test_authorizer_is_told_of_the_certificate() -> None:
    pem = quote(certificate().public_bytes(Encoding.PEM).decode())
    headers = {"Authorization": "letmein", "X-Client-Cert": pem}
    told = AuthorizedGateway(kind="REQUEST", client_certificate_header="X-Client-Cert")
    assert (await told.send(headers=headers)).status == 200
    found = told.calls[0]["requestContext"]["identity"]["clientCert"]
    assert found["subjectDN"] == "CN=client.example.com"
    untold = AuthorizedGateway(kind="REQUEST")
    await untold.send(headers=headers)
    assert "clientCert" not in untold.calls[0]["requestContext"]["identity"]
