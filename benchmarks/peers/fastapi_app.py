"""The yardstick: what a user would write instead, the handler in the process of the web server."""

from typing import Any

from fastapi import FastAPI, Request

app = FastAPI()


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    return {"message": "Hello, World!"}


@app.get("/hello")
async def hello() -> Any:
    return handler({}, None)


@app.post("/echo")
async def echo(request: Request) -> Any:
    return await request.json()
