"""HTTP APIs under whatever clients send and functions answer: there is always a response."""

import asyncio
import json
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from http_api_world import SmallHttpApi, endpoint_integration, lambda_integration
from lamington.gateway.v2.entities import Cors
from lamington.gateway.v2.http.routes import compile_routes

CHARACTERS = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#")
PATHS = st.text(CHARACTERS, max_size=20).map(lambda text: f"/{text}")
QUERIES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
NAMES = st.sampled_from(
    ["Origin", "Cookie", "Authorization", "Content-Type", "X-A", "x-a", "X-Amzn-Trace-Id", "Host"]
)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
METHODS = st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PROPFIND"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ANSWERS = st.binary(max_size=40) | (
    JSON
    | st.fixed_dictionaries(
        {"statusCode": JSON | st.integers(100, 600)},
        optional={"headers": JSON, "cookies": JSON, "body": JSON, "isBase64Encoded": JSON},
    )
).map(lambda value: json.dumps(value).encode())

MAPPINGS = {
    "append:header.x-a": "$request.querystring.a",
    "overwrite:header.x-b": "${request.path.proxy}${request.body.a}",
    "append:querystring.b": "$request.header.x-a",
    "overwrite:path": "$request.path",
}


def _apis() -> list[SmallHttpApi]:
    routes = ("GET /{id}", "ANY /a/{proxy+}", "$default")
    cors = Cors(allow_origins=("https://*",), allow_credentials=True)
    return [
        SmallHttpApi(*routes, cors=cors),
        SmallHttpApi(*routes, integration=lambda_integration("1.0", request_parameters=MAPPINGS)),
        SmallHttpApi(*routes, integration=lambda_integration(request_parameters=MAPPINGS)),
        SmallHttpApi(
            *routes,
            integration=endpoint_integration(
                "http://e/{proxy}/{id}", request_parameters={"append:header.a": "$request.path"}
            ),
        ),
    ]


APIS = _apis()


@given(METHODS, PATHS, QUERIES, st.lists(st.tuples(NAMES, VALUES), max_size=4), st.binary())
def test_whatever_is_sent_has_a_response(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    for api in APIS:
        response = asyncio.run(api.send(f"{method} {path}?{query}", headers=headers, body=body))
        assert 200 <= response.status <= 599
        assert all(name == name.lower() for name, _ in response.headers)


@given(ANSWERS, st.sampled_from(["1.0", "2.0"]))
def test_whatever_a_function_answers_is_a_response(answer: bytes, version: str) -> None:
    api = SmallHttpApi(
        "$default",
        handler=lambda event: answer,
        integration=lambda_integration(
            version,
            response_parameters={"200": {"append:header.x": "$response.body.a"}},
        ),
    )
    response = asyncio.run(api.send("GET /"))
    assert 200 <= response.status <= 599
    assert all(isinstance(value, str) for _, value in response.headers)


@given(PATHS)
def test_greedy_parameter_is_the_rest_of_the_path(path: str) -> None:
    routes = compile_routes([("ANY /{proxy+}", 1)])
    found = routes.find("GET", path)
    if path == "/":
        assert found is None
    else:
        assert found is not None
        assert found[1] == {"proxy": unquote(path[1:])}
