"""Signatures of version 4: AWS's own vectors, botocore's signer, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lamington.core.http import Headers, Request
from lamington.core.sigv4 import (
    ExpiredKey,
    IncompleteSignature,
    InvalidSignature,
    SignatureError,
    Signer,
    UnknownKey,
    authenticate,
    parse_signature,
    verify,
)

SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SUITE_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
HOST = ("Host", "example.amazonaws.com")
DATE = ("X-Amz-Date", "20150830T123600Z")


def suite_request(
    method: str,
    target: str,
    fields: list[tuple[str, str]],
    signed: str,
    signature: str,
    *,
    service: str = "service",
    body: bytes = b"",
) -> Request:
    """A request of AWS's test suite for signatures."""
    path, _, query = target.partition("?")
    credential = f"AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"
    )
    return Request(
        method=method,
        path=path,
        query=query,
        headers=Headers([*fields, ("Authorization", authorization)]),
        body=body,
    )


PLAIN = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
VECTORS = {
    "get-vanilla": suite_request("GET", "/", [HOST, DATE], "host;x-amz-date", PLAIN),
    "get-relative": suite_request("GET", "/example/..", [HOST, DATE], "host;x-amz-date", PLAIN),
    "get-slashes": suite_request("GET", "//", [HOST, DATE], "host;x-amz-date", PLAIN),
    "get-vanilla-query-order-key-case": suite_request(
        "GET",
        "/?Param2=value2&Param1=value1",
        [HOST, DATE],
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-empty-query-key": suite_request(
        "GET",
        "/?Param1=value1",
        [HOST, DATE],
        "host;x-amz-date",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    "get-header-value-trim": suite_request(
        "GET",
        "/",
        [HOST, ("My-Header1", " value1"), ("My-Header2", ' "a   b   c"'), DATE],
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "post-vanilla": suite_request(
        "POST",
        "/",
        [HOST, DATE],
        "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-x-www-form-urlencoded": suite_request(
        "POST",
        "/",
        [FORM, HOST, DATE],
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        body=b"Param1=value1",
    ),
    "guide-list-users": suite_request(
        "GET",
        "/?Action=ListUsers&Version=2010-05-08",
        [(FORM[0], f"{FORM[1]}; charset=utf-8"), ("Host", "iam.amazonaws.com"), DATE],
        "content-type;host;x-amz-date",
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        service="iam",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vector_of_aws_holds(name: str) -> None:
    signature = parse_signature(VECTORS[name])
    assert signature is not None
    verify(signature, VECTORS[name], SUITE_SECRET, SUITE_TIME)


def test_presigned_example_of_s3_holds() -> None:
    request = Request(
        method="GET",
        path="/test.txt",
        query="X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        headers=Headers([("Host", "examplebucket.s3.amazonaws.com")]),
    )
    signature = parse_signature(request)
    assert signature is not None
    verify(signature, request, S3_SECRET, datetime(2013, 5, 24, 23, tzinfo=UTC))
    with pytest.raises(InvalidSignature, match="Signature expired"):
        verify(signature, request, S3_SECRET, datetime(2013, 5, 25, 1, tzinfo=UTC))


def test_header_example_of_s3_holds() -> None:
    request = Request(
        method="GET",
        path="/test.txt",
        headers=Headers(
            [
                ("Host", "examplebucket.s3.amazonaws.com"),
                ("Range", "bytes=0-9"),
                ("x-amz-content-sha256", EMPTY_HASH),
                ("x-amz-date", "20130524T000000Z"),
                (
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                    "aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                    "Signature="
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
                ),
            ]
        ),
    )
    signature = parse_signature(request)
    assert signature is not None
    verify(signature, request, S3_SECRET, datetime(2013, 5, 24, tzinfo=UTC))


# botocore's signer.

KEY = "AKIAKNOWN"


def signed(
    *,
    method: str = "GET",
    target: str = "/dev/pets",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    presigned: bool = False,
    secret: str = S3_SECRET,
    token: str | None = None,
) -> Request:
    made = AWSRequest(method, f"http://localhost:4566{target}", headers=headers, data=body)
    signer: Any = SigV4QueryAuth if presigned else SigV4Auth
    signer(Credentials(KEY, secret, token), "execute-api", "eu-west-1").add_auth(made)
    path, _, query = str(made.url).removeprefix("http://localhost:4566").partition("?")
    fields = [("Host", "localhost:4566"), *((str(k), str(v)) for k, v in made.headers.items())]
    return Request(method=method, path=path, query=query, headers=Headers(fields), body=body)


class Keys:
    def __init__(self, **members: Any) -> None:
        self.signer = Signer(access_key=KEY, **{"secret": S3_SECRET, **members})

    def find(self, access_key: str, session_token: str) -> Signer | None:
        return self.signer if access_key == KEY else None


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/dev/a%20b/c%2Fd",
        "/dev//x/./y/../z/",
        "/dev/~user/$x:y@z",
        "/dev?b=2&a=1",
        "/dev?a=x%20y&a=1&empty=&none",
        "/dev?q=%2B%26%3D%C3%A9",
    ],
)
def test_botocore_signature_holds(target: str, presigned: bool) -> None:
    assert authenticate(signed(target=target, presigned=presigned), Keys(), now()) is not None


def test_body_and_headers_are_signed() -> None:
    request = signed(method="POST", body=b'{"a": 1}', headers={"X-Other": "  a   b "})
    assert authenticate(request, Keys(), now()) is not None
    request.body = b'{"a": 2}'
    with pytest.raises(InvalidSignature):
        authenticate(request, Keys(), now())


@pytest.mark.parametrize("presigned", [False, True])
def test_session_token_has_to_be_the_one_of_the_key(presigned: bool) -> None:
    request = signed(token="token", presigned=presigned)
    assert authenticate(request, Keys(session_token="token"), now()) is not None
    with pytest.raises(UnknownKey):
        authenticate(request, Keys(session_token="other"), now())


def test_what_is_refused() -> None:
    request = signed()
    with pytest.raises(InvalidSignature, match="does not match the signature you provided"):
        authenticate(request, Keys(secret="other"), now())
    with pytest.raises(InvalidSignature, match=r"Signature expired: .* - 5 min"):
        authenticate(request, Keys(), now() + timedelta(minutes=6))
    with pytest.raises(InvalidSignature, match="Signature not yet current"):
        authenticate(request, Keys(), now() - timedelta(minutes=6))
    with pytest.raises(InvalidSignature, match="correct service: 'lambda'"):
        authenticate(request, Keys(), now(), "lambda")
    with pytest.raises(ExpiredKey):
        authenticate(request, Keys(expires=now()), now())


def test_key_without_a_secret_is_believed() -> None:
    assert authenticate(signed(), Keys(secret=""), now() + timedelta(days=1)) is not None


def test_unsigned_request_has_no_signer() -> None:
    assert authenticate(Request(method="GET", path="/"), Keys(), now()) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "Bearer abc",
            "'abc' not a valid key=value pair (missing equal-sign) in Authorization header:"
            " 'Bearer abc'.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request",
            "Authorization header requires 'Signature' parameter. Authorization header"
            " requires 'SignedHeaders' parameter. Authorization header requires existence of"
            " either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256"
            " Credential=a/b/c/d/aws4_request",
        ),
        (
            "AWS4-HMAC-SHA256 Credential",
            "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header:"
            " 'AWS4-HMAC-SHA256 Credential'.",
        ),
    ],
)
def test_incomplete_signature_is_told_what_it_lacks(value: str, message: str) -> None:
    request = Request(method="GET", path="/", headers=Headers([("Authorization", value)]))
    with pytest.raises(IncompleteSignature) as refused:
        parse_signature(request)
    assert refused.value.message == message


@given(
    value=st.text(max_size=60),
    path=st.text(max_size=30),
    query=st.text(max_size=60),
    date=st.text(max_size=20),
    prefix=st.sampled_from(["", "AWS4-HMAC-SHA256 Credential=AKIAKNOWN/1/r/s/aws4_request, "]),
)
def test_nothing_but_signature_errors(
    value: str, path: str, query: str, date: str, prefix: str
) -> None:
    fields = [("Authorization", prefix + value), ("X-Amz-Date", date)]
    request = Request(method="GET", path=path, query=query, headers=Headers(fields))
    bare = Request(method="GET", path=path, query=f"X-Amz-Signature={query}")
    for each in (request, bare):
        try:
            authenticate(each, Keys(), now())
        except SignatureError:
            continue
