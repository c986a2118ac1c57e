"""Mapping templates: ours and airspeed with its parse kept, on the same input, interleaved."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import airspeed

from benchmarks import table
from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.library import Bindings, Input, make_context

TINY = '{"path": "$context.resourcePath"}'

# The shape of the console's "method request passthrough", in our words.
PASSTHROUGH = """#set($allParams = $input.params())
{
"body-json" : $input.json('$'),
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
},
"stage-variables" : {
#foreach($key in $stageVariables.keySet())
"$key" : "$util.escapeJavaScript($stageVariables.get($key))"
    #if($foreach.hasNext),#end
#end
},
"context" : {
    "account-id" : "$context.identity.accountId",
    "api-id" : "$context.apiId",
    "api-key" : "$context.identity.apiKey",
    "authorizer-principal-id" : "$context.authorizer.principalId",
    "caller" : "$context.identity.caller",
    "cognito-identity-id" : "$context.identity.cognitoIdentityId",
    "http-method" : "$context.httpMethod",
    "stage" : "$context.stage",
    "source-ip" : "$context.identity.sourceIp",
    "user" : "$context.identity.user",
    "user-agent" : "$context.identity.userAgent",
    "user-arn" : "$context.identity.userArn",
    "request-id" : "$context.requestId",
    "resource-id" : "$context.resourceId",
    "resource-path" : "$context.resourcePath"
    }
}
"""
HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "Host": "127.0.0.1:3000",
    "User-Agent": "benchmark/1.0",
    "X-Amzn-Trace-Id": "Root=1-5e34a614-10bdxmplf1fb44f07bc535a1",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "http",
}
PARAMETERS: dict[str, dict[str, str]] = {
    "path": {"petId": "7"},
    "querystring": {"page": "1", "sort": "name"},
    "header": HEADERS,
}
CONTEXT: dict[str, Any] = {
    "resourcePath": "/pets/{petId}",
    "httpMethod": "GET",
    "stage": "live",
    "apiId": "abcdefghij",
    "requestId": "11111111-2222-3333-4444-555555555555",
    "resourceId": "abc123",
    "identity": {"sourceIp": "127.0.0.1", "userAgent": "benchmark/1.0"},
    "authorizer": {},
}
BODY = '{"name":"Ada","tags":["x","y"]}'
RENDERINGS = 500


class AirspeedInput:
    def params(self) -> dict[str, dict[str, str]]:
        return PARAMETERS

    def json(self, path: str) -> str:
        return BODY


class AirspeedUtilities:
    def escapeJavaScript(self, text: object) -> str:
        return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("/", "\\/")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    results = {}
    rows = []
    for name, text in (("tiny", TINY), ("passthrough", PASSTHROUGH)):
        ours = _ours(text)
        theirs = _airspeed(text)
        figures: dict[str, list[float]] = {"lamington": [], "airspeed": []}
        for _ in range(arguments.rounds):
            figures["lamington"].append(_time(ours))
            figures["airspeed"].append(_time(theirs))
        medians = {key: round(statistics.median(values), 2) for key, values in figures.items()}
        results[name] = medians
        rows.append((name, *medians.values(), f"{medians['airspeed'] / medians['lamington']:.1f}x"))
    table.show("Mapping template, us per rendering", ("template", "ours", "airspeed", "gain"), rows)
    return results


def _time(render: Callable[[], str]) -> float:
    started = time.perf_counter()
    for _ in range(RENDERINGS):
        render()
    return (time.perf_counter() - started) / RENDERINGS * 1e6


def _ours(text: str) -> Callable[[], str]:
    template = compile_template(text)

    def render() -> str:
        return template(
            Bindings(
                input=Input(BODY, **PARAMETERS),
                context=make_context(CONTEXT),
                stage_variables={},
            )
        )

    return render


def _airspeed(text: str) -> Callable[[], str]:
    template = airspeed.Template(text)
    names = {
        "input": AirspeedInput(),
        "util": AirspeedUtilities(),
        "context": CONTEXT,
        "stageVariables": {},
    }

    def render() -> str:
        rendered: str = template.merge(names)
        return rendered

    return render
