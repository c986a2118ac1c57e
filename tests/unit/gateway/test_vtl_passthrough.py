"""The template that the AWS console generates: everything of a request as one JSON body."""

import json
from typing import Any

from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.library import Bindings, Input, make_context

PASSTHROUGH = """##  See the developer guide
#set($allParams = $input.params())
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
    "caller" : "$context.identity.caller",
    "http-method" : "$context.httpMethod",
    "source-ip" : "$context.identity.sourceIp",
    "time" : "$context.requestTimeEpoch",
    "resource-path" : "$context.resourcePath"
    }
}
"""


def test_passthrough_template_carries_the_whole_request() -> None:
    context: dict[str, Any] = {
        "httpMethod": "POST",
        "identity": {"caller": None, "sourceIp": "1.2.3.4"},
        "requestTimeEpoch": 1428582896000,
        "resourcePath": "/pets/{id}",
    }
    rendered = compile_template(PASSTHROUGH)(
        Bindings(
            input=Input(
                '{"name": "Ada", "tags": ["x"]}',
                path={"id": "42"},
                querystring={"q": 'say "hi"', "page": "2"},
                header={"Accept": "*/*", "X-Tab": "a\tb"},
            ),
            context=make_context(context),
            stage_variables={"env": "dev"},
        )
    )
    assert json.loads(rendered) == {
        "body-json": {"name": "Ada", "tags": ["x"]},
        "params": {
            "path": {"id": "42"},
            "querystring": {"q": 'say "hi"', "page": "2"},
            "header": {"Accept": "*/*", "X-Tab": "a\tb"},
        },
        "stage-variables": {"env": "dev"},
        "context": {
            "caller": "",
            "http-method": "POST",
            "source-ip": "1.2.3.4",
            "time": "1428582896000",
            "resource-path": "/pets/{id}",
        },
    }
