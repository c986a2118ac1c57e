"""HTTP/1.1 messages as bytes: a response as it is sent, a request's target as it is meant.

Left to others: the parser and the connection that messages travel over (`server`).
"""

from http import HTTPStatus

from lamington.core.http import Response

FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "date"})
FRAMING_LENGTHS = frozenset(map(len, FRAMING))
STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}


def render_response(
    response: Response, *, date: str, connection: str, method: str, framing: str | None = None
) -> bytes:
    """The whole message as the bytes of one write; only its head where `framing` is given.

    Fields that frame the message are the server's own: the handler's are dropped. A line break
    in a field, which would let its value forge further fields, becomes a space.
    """
    status = response.status
    lines = [_status_line(status)]
    lines.extend(
        [
            f"{name}: {value}\r\n"
            for name, value in response.headers
            if len(name) not in FRAMING_LENGTHS or name.lower() not in FRAMING
        ]
    )
    body = response.body
    if framing is not None:
        lines.extend([framing] if framing else ())
        body = b""
    elif status >= 200 and status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}\r\n")
    else:
        body = b""
    lines.append(f"Date: {date}\r\n")
    if connection:
        lines.append(f"Connection: {connection}\r\n")
    head = "".join(lines)
    if head.count("\n") != len(lines) or head.count("\r") != len(lines):
        head = "".join([line[:-2].replace("\r", " ").replace("\n", " ") + "\r\n" for line in lines])
    try:
        encoded = f"{head}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        encoded = f"{head}\r\n".encode()
    return encoded if method == "HEAD" else b"".join((encoded, body))


def _status_line(status: int) -> str:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"


def origin_form(url: bytes) -> str:
    """The request target as origin form; bytes beyond ASCII are percent-encoded."""
    if not url.isascii():
        url = b"".join(b"%%%02X" % byte if byte > 127 else bytes((byte,)) for byte in url)
    target = url.decode("ascii")
    if not target.startswith("/") and "://" in target:
        _, _, rest = target.partition("://")
        slash = rest.find("/")
        question = rest.find("?")
        if slash < 0 or 0 <= question < slash:
            return "/" + rest[question:] if question >= 0 else "/"
        return rest[slash:]
    return target
