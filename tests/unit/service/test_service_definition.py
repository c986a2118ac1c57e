"""A project becomes the definition and the template that AWS takes."""

from pathlib import Path
from typing import Any

import pytest

from lamington.core.errors import UsageError
from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.library import Bindings, Input, make_context
from lamington.service.definition import BuiltService, build_definition
from lamington.service.describe import describe_project
from lamington.service.problems import ServiceInvalid
from lamington.service.project import load_project
from service_world import PYTHON_HANDLER, load_service, swagger, texts

EXAMPLES = Path(__file__).parents[3] / "examples"
INTEGRATION = "x-amazon-apigateway-integration"
ECHO_URI = {
    "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31"
    "/functions/${EchoFunction.Arn}/invocations"
}


def build_service(root: Path, files: dict[str, str]) -> BuiltService:
    return build_definition(load_service(root, files))


def build_paths(root: Path, *lines: str) -> BuiltService:
    return build_service(root, {"api.yaml": swagger(*lines)})


def body_of(built: BuiltService) -> dict[str, Any]:
    body: dict[str, Any] = built.template["Resources"]["Api"]["Properties"]["Body"]
    return body


def problems_of(root: Path, files: dict[str, str]) -> list[str]:
    with pytest.raises(ServiceInvalid) as raised:
        build_service(root, files)
    return texts(raised.value)


def hand_written(uri: str, *more: str) -> list[str]:
    return [
        "  /a:",
        "    get:",
        "      responses: {200: {description: d}}",
        f"      {INTEGRATION}:",
        "        type: aws",
        f"        uri: {uri}",
        "        httpMethod: POST",
        *(f"        {line}" for line in more),
    ]


def test_articles_integration_is_kept_to_the_letter() -> None:
    project = load_project(EXAMPLES / "hello", check_javascript=False)
    built = build_definition(project)
    assert project.api is not None
    written = project.api.value["paths"]["/hello"]["get"]
    made = body_of(built)["paths"]["/hello"]["get"]
    expected = {key: value for key, value in written[INTEGRATION].items() if key != "credentials"}
    expected["uri"] = {"Fn::Sub": ECHO_URI["Fn::Sub"].replace("Echo", "Hello")}
    assert made == {**written, INTEGRATION: expected}
    assert [warning[:77] for warning in built.warnings] == [
        "api.json:26:21: `credentials: iam-role-arn-for-executing-lambda` is no ARN of"
    ]


@pytest.mark.parametrize("uri", ["echo", "functions/echo", "./functions/echo/", "Echo"])
def test_functions_name_or_directory_becomes_its_arn(tmp_path: Path, uri: str) -> None:
    built = build_paths(tmp_path, *hand_written(uri))
    assert body_of(built)["paths"]["/a"]["get"][INTEGRATION]["uri"] == ECHO_URI
    assert built.routes[0].function == "echo"


@pytest.mark.parametrize(
    "uri",
    [
        "arn:aws:apigateway:us-east-1:sqs:path/1/q",
        "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${stageVariables.f}/invocations",
    ],
)
def test_arn_stays_as_it_is(tmp_path: Path, uri: str) -> None:
    role = "credentials: arn:aws:iam::123456789012:role/r"
    built = build_paths(tmp_path, *hand_written(uri, role))
    assert body_of(built)["paths"]["/a"]["get"][INTEGRATION]["uri"] == uri
    assert "EchoFunctionPermission" not in built.template["Resources"]


def test_intrinsic_uri_gets_its_permission(tmp_path: Path) -> None:
    path = "lambda:path/2015-03-31/functions/${EchoFunction.Arn}/invocations"
    uri = f'!Sub "arn:aws:apigateway:${{AWS::Region}}:{path}"'
    built = build_paths(tmp_path, *hand_written(uri))
    assert built.routes[0].function == "echo"
    assert "EchoFunctionPermission" in built.template["Resources"]


@pytest.mark.parametrize(
    ("credentials", "kept"),
    [
        ("iam-role-arn-for-executing-lambda", False),
        ("arn:aws:iam::123456789012:role/r", True),
        ("${stageVariables.role}", True),
        ("{'Fn::GetAtt': [EchoFunctionRole, Arn]}", True),
    ],
)
def test_credentials_are_kept_unless_they_are_a_placeholder(
    tmp_path: Path, credentials: str, kept: bool
) -> None:
    built = build_paths(tmp_path, *hand_written("echo", f"credentials: {credentials}"))
    assert ("credentials" in body_of(built)["paths"]["/a"]["get"][INTEGRATION]) is kept


@pytest.mark.parametrize(
    "line", ["operationId: echo", "operationId: Echo", "x-lamington-function: functions/echo"]
)
def test_operation_finds_its_function(tmp_path: Path, line: str) -> None:
    built = build_paths(tmp_path, "  /a:", f"    get: {{{line}}}")
    assert body_of(built)["paths"]["/a"]["get"][INTEGRATION]["uri"] == ECHO_URI


def test_mapped_style_is_the_default_and_refuses_what_it_cannot_map(tmp_path: Path) -> None:
    operation = body_of(build_paths(tmp_path, "  /a:", "    get: {operationId: echo}"))["paths"][
        "/a"
    ]["get"]
    assert operation[INTEGRATION]["type"] == "aws"
    assert operation[INTEGRATION]["passthroughBehavior"] == "never"
    assert set(operation["responses"]) == {"200", "500"}


@pytest.mark.parametrize("level", ["root", "path", "operation"])
def test_proxy_style_is_taken_from_any_level(tmp_path: Path, level: str) -> None:
    style = "x-lamington-style: proxy"
    paths = [
        "  /a:",
        f"    {style}" if level == "path" else "    x-other: 1",
        "    get:",
        "      operationId: echo",
        f"      {style}" if level == "operation" else "      x-other: 1",
    ]
    text = swagger(*paths) + (style if level == "root" else "")
    built = build_service(tmp_path, {"api.yaml": text})
    assert body_of(built)["paths"]["/a"]["get"][INTEGRATION] == {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": ECHO_URI,
        "passthroughBehavior": "when_no_match",
    }
    assert built.routes[0].integration == "proxy"
    assert "x-lamington" not in str(built.swagger)


def test_swagger_by_itself_names_the_functions_of_the_stack(tmp_path: Path) -> None:
    built = build_paths(tmp_path, *hand_written("echo"))
    assert built.swagger is not None
    uri = built.swagger["paths"]["/a"]["get"][INTEGRATION]["uri"]
    assert uri.endswith("function:bakery-echo/invocations")
    assert "Fn::" not in str(built.swagger)


def test_undeclared_path_parameter_is_declared(tmp_path: Path) -> None:
    built = build_paths(tmp_path, "  /a/{id}:", "    get: {operationId: echo}")
    assert body_of(built)["paths"]["/a/{id}"]["get"]["parameters"] == [
        {"name": "id", "in": "path", "required": True, "type": "string"}
    ]


def test_cors_comes_only_when_asked_for(tmp_path: Path) -> None:
    lines = ["  /a:", "    get: {operationId: echo}"]
    plain = body_of(build_paths(tmp_path, *lines))
    assert "options" not in plain["paths"]["/a"]
    assert "Access-Control" not in str(plain)
    asked = swagger(*lines) + "x-lamington-cors: {allowOrigins: ['https://x.y'], maxAge: 60}\n"
    body = body_of(build_service(tmp_path, {"api.yaml": asked}))
    preflight = body["paths"]["/a"]["options"][INTEGRATION]
    assert preflight["type"] == "mock"
    assert preflight["responses"]["default"]["responseParameters"] == {
        "method.response.header.Access-Control-Allow-Origin": "'https://x.y'",
        "method.response.header.Access-Control-Allow-Headers": "'Content-Type,X-Amz-Date,"
        "Authorization,X-Api-Key,X-Amz-Security-Token'",
        "method.response.header.Access-Control-Allow-Methods": "'GET,OPTIONS'",
        "method.response.header.Access-Control-Max-Age": "'60'",
    }
    for response in body["paths"]["/a"]["get"][INTEGRATION]["responses"].values():
        assert response["responseParameters"] == {
            "method.response.header.Access-Control-Allow-Origin": "'https://x.y'"
        }
    assert set(body["x-amazon-apigateway-gateway-responses"]) == {"DEFAULT_4XX", "DEFAULT_5XX"}


def test_declared_header_takes_its_value_from_the_result(tmp_path: Path) -> None:
    built = build_paths(
        tmp_path,
        "  /a:",
        "    post:",
        "      operationId: echo",
        "      responses:",
        "        201:",
        "          description: d",
        "          headers:",
        "            Location: {type: string, x-lamington-value: $.at}",
        "            Cache-Control: {type: string, default: no-store}",
    )
    default = body_of(built)["paths"]["/a"]["post"][INTEGRATION]["responses"]["default"]
    assert default["statusCode"] == "201"
    assert default["responseParameters"] == {
        "method.response.header.Location": "integration.response.body.at",
        "method.response.header.Cache-Control": "'no-store'",
    }


def test_deployment_has_a_new_id_only_when_the_definition_changes(tmp_path: Path) -> None:
    def deployment(summary: str, code: str) -> str:
        built = build_service(
            tmp_path,
            {
                "api.yaml": swagger("  /a:", f"    get: {{operationId: echo, summary: {summary}}}"),
                "functions/echo/handler.py": code,
            },
        )
        ids: list[str] = list(built.template["Resources"])
        return next(key for key in ids if key.startswith("ApiDeployment"))

    first = deployment("x", PYTHON_HANDLER)
    assert deployment("x", PYTHON_HANDLER + "# changed\n") == first
    assert deployment("y", PYTHON_HANDLER) != first


def test_resources_have_stable_readable_ids(tmp_path: Path) -> None:
    built = build_service(
        tmp_path,
        {
            "functions/price-quote.py": PYTHON_HANDLER,
            "api.yaml": swagger("  /a:", "    get: {operationId: priceQuote}"),
        },
    )
    ids = [key for key in built.template["Resources"] if not key.startswith("ApiDeployment")]
    assert sorted(ids) == [
        "Api",
        "ApiStage",
        "PriceQuoteFunction",
        "PriceQuoteFunctionLogGroup",
        "PriceQuoteFunctionPermission",
        "PriceQuoteFunctionRole",
    ]
    assert set(built.template["Outputs"]) == {"ApiUrl", "ApiId", "ApiStage"}


def test_role_may_do_no_more_than_its_function_needs(tmp_path: Path) -> None:
    built = build_service(
        tmp_path,
        {
            "functions/f/handler.py": PYTHON_HANDLER,
            "functions/f/function.yaml": "Policies:\n"
            "  - AmazonS3ReadOnlyAccess\n"
            "  - {Effect: Allow, Action: 's3:GetObject', Resource: '*'}\n",
        },
    )
    role = built.template["Resources"]["FFunctionRole"]["Properties"]
    base, own = (policy["PolicyDocument"]["Statement"] for policy in role["Policies"])
    assert base == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": ["FFunctionLogGroup", "Arn"]},
        }
    ]
    assert own == [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]
    assert role["ManagedPolicyArns"] == [
        {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AmazonS3ReadOnlyAccess"}
    ]


def test_own_role_is_taken_instead_of_a_generated_one(tmp_path: Path) -> None:
    files = {
        "functions/f/handler.py": PYTHON_HANDLER,
        "functions/f/function.yaml": "Role: arn:aws:iam::123456789012:role/r",
    }
    resources = build_service(tmp_path, files).template["Resources"]
    assert "FFunctionRole" not in resources
    assert resources["FFunction"]["Properties"]["Role"] == "arn:aws:iam::123456789012:role/r"


def test_logging_asks_for_the_account_role(tmp_path: Path) -> None:
    files = {
        "lamington.toml": 'name = "b"\n[stages.live]\nlogging = "info"\nvariables = {a = 1}\n',
        "api.yaml": swagger("  /a:", "    get: {operationId: echo}"),
    }
    resources = build_service(tmp_path, files).template["Resources"]
    assert "ApiAccount" in resources
    assert resources["ApiStage"]["Properties"]["Variables"] == {"a": "1"}
    assert resources["ApiStage"]["Properties"]["MethodSettings"][0]["LoggingLevel"] == "INFO"


def test_null_never_reaches_the_template(tmp_path: Path) -> None:
    built = build_paths(tmp_path, "  /a:", "    get: {operationId: echo, x-example: null}")
    assert "None" not in str(built.template)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"api.yaml": swagger("  /a:", "    get: {operationId: ecco}")},
            "api.yaml:5:11: `GET /a` has no function: its operationId `ecco` names none",
        ),
        (
            {"api.yaml": swagger("  /a:", "    get: {x-lamington-function: nope}")},
            "api.yaml:5:11: `GET /a` names the function `nope`, which does not exist",
        ),
        ({"api.yaml": swagger("  /a:", "    get: {}")}, "api.yaml:5:5: `GET /a` names no function"),
        (
            {"api.yaml": swagger(*hand_written("our-lambda-function-arn"))},
            "api.yaml:9:9: `GET /a` leads to `our-lambda-function-arn`, which is neither a function"
            " nor an ARN",
        ),
        (
            {"api.yaml": swagger("  /a/{x}:", "    get: {operationId: echo}", "  /a/{y}/b:",
                                 "    get: {operationId: echo}")},
            "api.yaml:6:3: duplicate route: `{y}` in `/a/{y}/b` stands where `{x}` does in",
        ),
        (
            {"api.yaml": swagger("  /a:", "    get: {operationId: echo}", "  /a/:",
                                 "    post: {operationId: echo}")},
            "api.yaml:6:3: duplicate route: `/a/` is `/a` again",
        ),
        (
            {"api.yaml": swagger("  /a:", "    get: {operationId: echo}",
                                 "    get: {operationId: echo}")},
            "api.yaml:6:5: the key `get` is given twice",
        ),
        (
            {"api.yaml": swagger("  /a{x}:", "    get: {operationId: echo}")},
            "api.yaml:4:3: `/a{x}` cannot be a path",
        ),
        (
            {"api.yaml": swagger("  /a:", "    trace: {operationId: echo}")},
            "api.yaml:5:5: `trace` is not a method that API Gateway takes",
        ),
        (
            {"api.yaml": swagger(*hand_written(
                "echo", "requestTemplates:", '  application/json: "{}\\n#if(true"'))},
            "api.yaml:12:11: the mapping template for `application/json` is not valid VTL at line"
            " 2, column ",
        ),
        (
            {"api.yaml": swagger("  /a:", "    get:", "      operationId: echo", "      responses:",
                                 "        404: {description: d, x-lamington-error: '(a'}")},
            "api.yaml:8:31: `(a` is no regular expression",
        ),
        (
            {"api.yaml": swagger("  /a:", "    get: {operationId: echo, x-lamington-stile: a}")},
            "api.yaml:5:30: `x-lamington-stile` is not a key of Lamington's",
        ),
        (
            {"api.yaml": swagger("  /a/{q}:", "    get:", "      operationId: echo",
                                 "      parameters: [{name: q, in: query, type: string},",
                                 "        {name: q, in: path, required: true, type: string}]")},
            "api.yaml:8:9: `q` would be in the event twice",
        ),
        ({"api.yaml": "paths: {}"}, "api.yaml:1:1: the API definition does not say which version"),
        ({"stack.yaml": "Resources:\n  T:\n    Type: A::B::C\n    DependsOn: Nope"},
         "stack.yaml:4:5: there is no resource `Nope`"),
        ({"stack.yaml": "Outputs:\n  A:\n    Value: !Ref Nope"},
         "stack.yaml:3:12: there is no resource or parameter `Nope`"),
        ({"stack.yaml": "Outputs:\n  A:\n    Value: !Sub 'x${Nope.Arn}'"},
         "stack.yaml:3:12: there is no resource `Nope`"),
        ({"stack.yaml": "Outputs:\n  A:\n    Condition: Nope\n    Value: x"},
         "stack.yaml:3:5: there is no condition `Nope`"),
        (
            {"functions/f/handler.py": PYTHON_HANDLER,
             "functions/f/function.yaml": "Environment:\n  Variables:\n    A: !Ref Tabel\n",
             "stack.yaml": "Resources:\n  Table: {Type: 'AWS::DynamoDB::Table'}"},
            "functions/f/function.yaml:3:8: there is no resource or parameter `Tabel`",
        ),
        ({"stack.yaml": "Resources:\n  EchoFunction: {Type: 'A::B::C'}"},
         "stack.yaml:2:3: `EchoFunction` is the name of something that is generated"),
        ({"stack.yaml": "Resources:\n  A: {Type: 'A::B::C', DependsOn: B}\n"
          "  B:\n    Type: A::B::C\n    Properties: {X: !GetAtt A.Arn}"},
         "stack.yaml:2:3: circular dependency between resources: `A`, `B`"),
        (
            {"functions/f/handler.py": PYTHON_HANDLER,
             "functions/f/function.yaml": "Environment: {Variables: {A: !Ref FFunction}}"},
            "functions/f/function.yaml:1:1: circular dependency between resources: `FFunction`",
        ),
        ({"stack.yaml": "Resources:\n  A: {Type: 'A::B::C', Foo: 1}"},
         "stack.yaml:2:24: Invalid template resource property 'Foo'"),
        ({"stack.yaml": "Resorces: {}"}, "stack.yaml:1:1: `Resorces` is not a section"),
        ({"stack.yaml": "Transform: AWS::Serverless-2016-10-31"},
         "stack.yaml:1:1: a `Transform` in the stack file is not run yet"),
        (
            {"functions/f/handler.py": PYTHON_HANDLER,
             "functions/f/function.yaml": "Policies:\n  - S3ReadPolicy: {BucketName: x}"},
            "functions/f/function.yaml:2:5: `S3ReadPolicy` is no policy that is known here",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_told_with_its_place(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    found = problems_of(tmp_path, files)
    assert any(text.startswith(expected) for text in found), found


def test_service_is_described_with_what_nothing_triggers(tmp_path: Path) -> None:
    project = load_service(
        tmp_path,
        {
            "functions/echo.py": PYTHON_HANDLER,
            "functions/idle.py": PYTHON_HANDLER,
            "api.yaml": swagger("  /a:", "    get: {operationId: echo}"),
        },
    )
    described = describe_project(project)
    assert {each.name: each.triggers for each in described.functions} == {
        "echo": ("GET /a",),
        "idle": (),
    }
    assert described.unused == ("idle",)


def test_bakery_builds_without_a_warning() -> None:
    project = load_project(EXAMPLES / "bakery", check_javascript=False)
    built = build_definition(project)
    assert built.warnings == ()
    assert [
        (route.method, route.path, route.function, route.integration) for route in built.routes
    ] == [
        ("GET", "/cakes", "list", "mapped"),
        ("GET", "/cakes/{id}", "get", "mapped"),
        ("POST", "/cakes/{id}/quote", "quote", "mapped"),
        ("GET", "/prices", "list", "aws"),
    ]


def test_long_function_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long for a function's name"):
        build_service(tmp_path, {f"functions/{'f' * 60}.py": PYTHON_HANDLER})


def test_articles_request_template_makes_exactly_its_event() -> None:
    project = load_project(EXAMPLES / "event", check_javascript=False)
    integration = body_of(build_definition(project))["paths"]["/hello"]["get"][INTEGRATION]
    render = compile_template(integration["requestTemplates"]["application/json"])
    request = Input("", path={}, querystring={}, header={})
    context = make_context({"resourcePath": "/hello"})
    assert render(Bindings(input=request, context=context)) == '{"path": "/hello"}'


def test_price_list_is_rendered_by_the_bakerys_own_template() -> None:
    project = load_project(EXAMPLES / "bakery", check_javascript=False)
    integration = body_of(build_definition(project))["paths"]["/prices"]["get"][INTEGRATION]
    template = integration["responses"]["default"]["responseTemplates"]["application/json"]
    cake = '{"name": "A", "price": 3.5, "stock": 1}'
    cakes = f'{{"cakes": [{cake}, {{"name": "B", "price": 2, "stock": 0}}]}}'
    request = Input(cakes, path={}, querystring={}, header={})
    bindings = Bindings(input=request, context=make_context({}))
    assert compile_template(template)(bindings) == "1. A: 3.5\n2. B: 2 (sold out)\n"


def test_what_the_gateway_cannot_keep_is_said(tmp_path: Path) -> None:
    built = build_service(
        tmp_path,
        {
            "functions/f/handler.py": PYTHON_HANDLER,
            "functions/f/function.yaml": "Timeout: 60",
            "api.yaml": swagger("  /a:", "    get: {operationId: f, x-lamington-style: proxy}")
            + "x-lamington-cors: true\n",
        },
    )
    assert list(built.warnings) == [
        "api.yaml:5:5: `GET /a` is of the proxy style: `f` itself has to answer with the headers"
        " of CORS",
        "functions/f/function.yaml:1:1: `f` may take 60 s, but API Gateway waits 29 s for it",
    ]
