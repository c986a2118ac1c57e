"""Which coding a client gets, and what becomes of bodies that come packed."""

import gzip
import zlib

import pytest

from fakes_gateway import SmallGateway, header, lambda_method
from lamington.gateway.compression import COMPRESSED_AT_ONCE_MAX_BYTES, choose_coding


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("br, gzip;q=0.1", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0.2, deflate; q=0.9", "deflate"),
        ("identity, gzip;q=0.9", ""),
        ("identity;q=0.5, gzip", "gzip"),
        ("*", ""),
        ("*, gzip", "gzip"),
        ("br", ""),
        ("gzip;q=high", ""),
        ("gzip;q=nan", ""),
        (",;=", ""),
    ],
)
def test_coding_is_the_one_of_the_highest_priority(accepted: str, coding: str) -> None:
    assert choose_coding(accepted) == coding


async def test_a_large_answer_is_compressed_too() -> None:
    text = "cake " * COMPRESSED_AT_ONCE_MAX_BYTES
    gateway = SmallGateway(
        {"GET /": lambda_method()}, lambda event: {"body": text}, minimum_compression_size=0
    )
    response = await gateway.send("GET /", headers={"Accept-Encoding": "deflate"})
    assert header(response, "Content-Encoding") == "deflate"
    assert zlib.decompress(response.body).decode() == text


async def test_an_empty_answer_is_left_empty() -> None:
    gateway = SmallGateway(
        {"GET /": lambda_method()}, lambda event: {"statusCode": 204}, minimum_compression_size=0
    )
    response = await gateway.send("GET /", headers={"Accept-Encoding": "gzip"})
    assert (response.body, header(response, "Content-Encoding")) == (b"", "")


async def test_a_body_that_ends_early_is_refused() -> None:
    gateway = SmallGateway({"POST /": lambda_method("POST")})
    packed = gzip.compress(b"a cake that is cut")
    response = await gateway.send("POST /", headers={"Content-Encoding": "gzip"}, body=packed[:-12])
    assert response.status == 415
