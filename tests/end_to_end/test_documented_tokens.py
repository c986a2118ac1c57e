"""The recipe of docs/gateway.md for tokens without a network makes tokens that are taken."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from documentation import DOCS, blocks_of
from lamington.testing import running_engine

ISSUER = "https://members.example.com"


def token_of_the_page(directory: Path) -> str:
    """What the page's program prints; the public key goes to `members.json`."""
    recipe = next(each for each in blocks_of(DOCS / "gateway.md") if each.file == "token.py")
    done = subprocess.run(
        [sys.executable, "-c", recipe.text],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def status(url: str, token: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_documented_token_opens_a_route(tmp_path: Path) -> None:
    token = token_of_the_page(tmp_path)
    with running_engine(jwks=f"{ISSUER}={tmp_path / 'members.json'}") as engine:
        client = engine.client("apigatewayv2")
        health = f"{engine.endpoint_url}/_lamington/health"
        api_id = client.create_api(Name="members", ProtocolType="HTTP", Target=health)["ApiId"]
        authorizer = client.create_authorizer(
            ApiId=api_id,
            Name="members",
            AuthorizerType="JWT",
            IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Audience": ["stall"], "Issuer": ISSUER},
        )
        route = client.get_routes(ApiId=api_id)["Items"][0]
        client.update_route(
            ApiId=api_id,
            RouteId=route["RouteId"],
            AuthorizationType="JWT",
            AuthorizerId=authorizer["AuthorizerId"],
        )
        url = f"{engine.endpoint_url}/_aws/execute-api/{api_id}/"
        assert status(url, token) == 200
        assert status(url, f"{token}x") == 401
