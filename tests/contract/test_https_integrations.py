"""HTTPS behind methods: whose certificate is believed, and which one is shown."""

import ssl
from pathlib import Path

import pytest

from http_world import gateway, http_method, serving
from lamington.gateway.http_client import ClientCertificate
from tls_world import Authority, server_context, subject_of, write_all


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def store(authority: Authority, tmp_path: Path) -> str:
    return str(write_all(tmp_path / "trusted.pem", [authority.certificate]))


def context(authority: Authority, directory: Path, *names: str, days: int = 1) -> ssl.SSLContext:
    return server_context(authority.issue(*names, days=days).write(directory / "server.pem"))


async def test_trusted_server_is_believed(authority: Authority, store: str, tmp_path: Path) -> None:
    async with serving(context=context(authority, tmp_path, "127.0.0.1")) as backend:
        uri = backend.url.replace("http", "https")
        async with gateway({"GET /a": http_method(uri=uri)}, trust_store=store) as api:
            assert (await api.send("GET /a")).status == 200
            assert (await api.send("GET /a")).status == 200
        assert backend.connections == 1


@pytest.mark.parametrize(
    ("names", "days", "trusted"),
    [
        pytest.param(("127.0.0.1",), 1, False, id="unknown issuer"),
        pytest.param(("elsewhere.example",), 1, True, id="another name"),
        pytest.param(("127.0.0.1",), -1, True, id="run out"),
    ],
)
async def test_server_without_a_good_certificate_is_504(
    authority: Authority,
    store: str,
    tmp_path: Path,
    names: tuple[str, ...],
    days: int,
    trusted: bool,
) -> None:
    async with serving(context=context(authority, tmp_path, *names, days=days)) as backend:
        uri = backend.url.replace("http", "https")
        async with gateway(
            {"GET /a": http_method(uri=uri)}, trust_store=store if trusted else ""
        ) as api:
            response = await api.send("GET /a")
            assert "certificate" in api.reason.lower()
        assert backend.received == []
    assert response.status == 504
    assert response.body == b'{"message":"Network error communicating with endpoint"}'


@pytest.mark.parametrize(
    ("names", "days", "status"),
    [
        pytest.param(("127.0.0.1",), 1, 200, id="unknown issuer"),
        pytest.param(("elsewhere.example",), 1, 504, id="another name"),
        pytest.param(("127.0.0.1",), -1, 504, id="run out"),
    ],
)
async def test_skipped_verification_leaves_out_the_issuer_alone(
    authority: Authority, tmp_path: Path, names: tuple[str, ...], days: int, status: int
) -> None:
    async with serving(context=context(authority, tmp_path, *names, days=days)) as backend:
        uri = backend.url.replace("http", "https")
        method = http_method(uri=uri, insecure_skip_verification=True)
        async with gateway({"GET /a": method}) as api:
            assert (await api.send("GET /a")).status == status
        assert len(backend.received) == (1 if status == 200 else 0)


async def test_stage_shows_its_client_certificate(
    authority: Authority, store: str, tmp_path: Path
) -> None:
    shown = authority.issue("a client")
    clients = write_all(tmp_path / "clients.pem", [authority.certificate])
    issued = authority.issue("127.0.0.1").write(tmp_path / "server.pem")
    certificate = ClientCertificate(certificate=shown.certificate, private_key=shown.private_key)
    async with serving(context=server_context(issued, clients)) as backend:
        method = http_method(uri=backend.url.replace("http", "https"))
        async with gateway(
            {"GET /a": method},
            trust_store=store,
            certificates={"cert1": certificate},
            client_certificate_id="cert1",
        ) as api:
            assert (await api.send("GET /a")).status == 200
        encoded = backend.received[0].peer_certificate
        assert encoded is not None
        assert subject_of(encoded) == "CN=a client"
        async with gateway({"GET /a": method}, trust_store=store) as api:
            assert (await api.send("GET /a")).status == 504


async def test_server_behind_a_vpc_link_proves_the_name_of_the_address(
    authority: Authority, store: str, tmp_path: Path
) -> None:
    async with serving(context=context(authority, tmp_path, "cakes.internal")) as backend:
        method = http_method(
            uri="https://cakes.internal/", connection_type="VPC_LINK", connection_id="l"
        )
        links = {"l": f"127.0.0.1:{backend.port}"}
        async with gateway({"GET /a": method}, links=links, trust_store=store) as api:
            assert (await api.send("GET /a")).status == 200
