"""The Python runtime of one execution environment: loads the handler and serves invocations.

It runs in the function's own interpreter (3.8 or later), so it knows the standard library only
and imports little of it: what is rarely needed is imported when it is. The engine is at the other
end of a socket; a frame is a length (u32) and as many bytes, the first one telling its kind.
"""

# ruff: noqa: BLE001  # this is the one place of an environment that answers for any exception

from __future__ import annotations

import _socket
import json
import os
import sys
import time
from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

READY, INIT_ERROR, RESULT, ERROR = 1, 2, 3, 4
INVOKE_ATTENTIVELY = 2

INVOCATION = Struct("<BHHHHd")
"""Kind, lengths of request id, ARN, trace id and client context, deadline in ms since 1970."""

REPLY = Struct("<IBII")
"""Length of what follows, kind, highest resident memory in KiB, CPU of an invocation in µs."""

BUFFER_BYTES = 65536
"""Not more: a larger buffer is mapped and unmapped for each frame, ten times the cost."""

RECORD_BREAK = "\x1e"
NO_BREAK_SPACE = "\u00a0"

INIT_WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code."
    " However, in rare cases, a Lambda runtime update can cause unexpected function behavior. For"
    " functions using managed runtimes, runtime updates can be triggered by a function change, or"
    " can be applied automatically. To determine if the runtime has been updated, check the"
    " runtime version in the INIT_START log entry. If this error correlates with a change in the"
    " runtime version, you may be able to mitigate this error by temporarily rolling back to the"
    " previous runtime version. For more information, see"
    " https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)


class Fault(Exception):
    """A failure of the runtime's own making, under one of AWS's names."""

    def __init__(self, error_type: str, message: str, trace: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = list(trace)


class Client:
    """The mobile client of a client context."""

    __slots__ = (
        "app_package_name",
        "app_title",
        "app_version_code",
        "app_version_name",
        "installation_id",
    )

    def __init__(self, given: dict[str, Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, given.get(name))


class ClientContext:
    """What the caller sent beside the event."""

    __slots__ = ("client", "custom", "env")

    def __init__(self, given: dict[str, Any]) -> None:
        self.custom = given.get("custom")
        self.env = given.get("env")
        client = given.get("client")
        self.client = None if client is None else Client(client)


class CognitoIdentity:
    """The caller's Cognito identity; nobody has one here."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self) -> None:
        self.cognito_identity_id = None
        self.cognito_identity_pool_id = None


class LambdaContext:
    """The second argument of a handler."""

    def __init__(
        self,
        request_id: str,
        arn: str,
        client_context: ClientContext | None,
        deadline_ms: float,
    ) -> None:
        self.aws_request_id = request_id
        self.log_group_name = Declared.log_group_name
        self.log_stream_name = Declared.log_stream_name
        self.function_name = Declared.function_name
        self.memory_limit_in_mb = Declared.memory_size
        self.function_version = Declared.function_version
        self.invoked_function_arn = arn
        self.tenant_id = None
        self.client_context = client_context
        self.identity = CognitoIdentity()
        self._epoch_deadline_time_in_ms = deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        return max(int(self._epoch_deadline_time_in_ms - time.time() * 1000), 0)

    def log(self, msg: object) -> None:
        """Write one log event."""
        write_record(str(msg))

    def __repr__(self) -> str:
        names = (
            "aws_request_id",
            "log_group_name",
            "log_stream_name",
            "function_name",
            "memory_limit_in_mb",
            "function_version",
            "invoked_function_arn",
            "client_context",
            "identity",
            "tenant_id",
        )
        shown = ",".join(f"{name}={getattr(self, name)}" for name in names)
        return f"LambdaContext([{shown}])"


class Declared:
    """What the variables of this process say of the function: read once, when it is one."""

    function_name: str | None = None
    function_version: str | None = None
    memory_size: str | None = None
    log_group_name: str | None = None
    log_stream_name: str | None = None
    task_root = ""
    log_format = "Text"
    log_level = ""
    minor = 0
    """The minor version of Python 3 that the function asks for, 0 for Python 2."""

    @classmethod
    def configure(cls) -> None:
        variable = os.environ.get
        cls.function_name = variable("AWS_LAMBDA_FUNCTION_NAME")
        cls.function_version = variable("AWS_LAMBDA_FUNCTION_VERSION")
        cls.memory_size = variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        cls.log_group_name = variable("AWS_LAMBDA_LOG_GROUP_NAME")
        cls.log_stream_name = variable("AWS_LAMBDA_LOG_STREAM_NAME")
        cls.task_root = variable("LAMBDA_TASK_ROOT", "")
        cls.log_format = variable("AWS_LAMBDA_LOG_FORMAT", "Text")
        level = variable("AWS_LAMBDA_LOG_LEVEL", "").upper()
        known = {"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}
        cls.log_level = known.get(level, level)
        name = variable("AWS_EXECUTION_ENV", "").rpartition("python")[2]
        major, _, minor = name.partition(".")
        cls.minor = int(minor) if major == "3" and minor.isdigit() else 0


class Current:
    """What the logging of this environment needs to know of the invocation that runs."""

    request_id: str | None = None
    trace_id: str | None = None


# JSON


class Encoder:
    """Renders what a handler returns, as simplejson does."""

    def __init__(self, ascii_only: bool) -> None:
        self._numbers: list[str] = []
        self._mark = os.urandom(8).hex()
        self._encode = json.JSONEncoder(ensure_ascii=ascii_only, default=self._default).encode
        self.walks = False

    def render(self, value: Any) -> bytes:
        """JSON text as bytes; raises TypeError or ValueError for what JSON cannot hold."""
        text = self._encode(_plain(value) if self.walks else value)
        if self._numbers:
            for index, number in enumerate(self._numbers):
                text = text.replace(f'"{self._mark}-{index}"', number, 1)
            self._numbers.clear()
        return text.encode("utf-8", "surrogatepass")

    def _default(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(value, decimal.Decimal):
            if not value.is_finite():
                return float(value)
            self._numbers.append(str(value))
            return f"{self._mark}-{len(self._numbers) - 1}"
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _plain(value: Any) -> Any:
    """The value with its named tuples as dicts."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        if hasattr(value, "_asdict"):
            return {key: _plain(each) for key, each in value._asdict().items()}
        return [_plain(each) for each in value]
    return value


def has_named_tuples() -> bool:
    """Whether the function's own code defines a named tuple, so that results must be walked."""
    for kind in tuple.__subclasses__():
        if "_fields" in vars(kind):
            module = sys.modules.get(kind.__module__)
            if (getattr(module, "__file__", None) or "").startswith(Declared.task_root):
                return True
    return False


# Logs


def write_record(text: str) -> None:
    """Write text as one log event, whatever lines it has."""
    body = text[:-1] if text.endswith("\n") else text
    sys.stdout.write(body.replace("\n", RECORD_BREAK) + "\n")


def log_error(error: dict[str, Any]) -> None:
    """Write an error as AWS's runtime does: one event, its indentation not to be trimmed."""
    if Declared.log_format == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {"timestamp": stamp, "level": "ERROR"}
        entry.update(error)
        write_record(json.dumps(entry, ensure_ascii=False))
        return
    head = "[ERROR]"
    if error["errorType"]:
        head += " " + error["errorType"]
    if error["errorMessage"]:
        head += (":" if error["errorType"] else "") + " " + error["errorMessage"]
    lines = [head, "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines() or [""]:
            bare = line.lstrip(" ")
            lines.append(NO_BREAK_SPACE * (len(line) - len(bare)) + bare)
    write_record("\n".join(lines))


def set_up_logging(logging: Any) -> None:
    """Give the root logger the one handler that AWS gives it."""

    class LambdaHandler(logging.Handler):  # type: ignore[misc]  # its base comes late
        def emit(self, record: Any) -> None:
            write_record(self.format(record))

    class LambdaFilter(logging.Filter):  # type: ignore[misc]  # its base comes late
        def filter(self, record: Any) -> bool:
            record.aws_request_id = Current.request_id or ""
            record.tenant_id = None
            return True

    logging.Formatter.converter = time.gmtime
    handler = LambdaHandler()
    if Declared.log_format == "JSON":
        handler.setFormatter(json_formatter(logging))
    else:
        handler.setFormatter(
            logging.Formatter(
                "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
                "%Y-%m-%dT%H:%M:%S",
            )
        )
    handler.addFilter(LambdaFilter())
    logger = logging.getLogger()
    if Declared.log_level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        logger.setLevel(Declared.log_level)
    logger.addHandler(handler)


def json_formatter(logging: Any) -> Any:
    """The formatter of functions whose log format is JSON."""
    usual = set(vars(logging.makeLogRecord({}))) | {"aws_request_id", "tenant_id", "message"}

    class JsonFormatter(logging.Formatter):  # type: ignore[misc]  # its base comes late
        def format(self, record: Any) -> str:
            entry = {
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info:
                kind, error, _ = record.exc_info
                entry["stackTrace"] = self.formatException(record.exc_info).split("\n")[1:-1]
                entry["errorType"] = getattr(kind, "__name__", "")
                entry["errorMessage"] = str(error)
                entry["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
            if Current.request_id:
                entry["requestId"] = Current.request_id
            for key, value in vars(record).items():
                if key not in usual and key not in entry:
                    entry[key] = value
            return json.dumps(entry, ensure_ascii=False, default=str)

    return JsonFormatter()


class LoggingFinder:
    """Sets up `logging` when the function imports it: half of a cold start is saved if not."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec: Any = find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            set_up_logging(module)

        spec.loader.exec_module = exec_module
        return spec


# Errors


def describe(error: BaseException) -> tuple[str, str, list[Any]]:
    """The payload of an exception of the function, without the frames of the runtime."""
    import traceback

    frames = list(traceback.extract_tb(error.__traceback__))
    while frames and frames[0].filename == __file__:
        del frames[0]
    trace: list[Any]
    if Declared.minor < 8:
        trace = [[frame.filename, frame.lineno, frame.name, frame.line] for frame in frames]
    else:
        trace = traceback.format_list([tuple(frame) for frame in frames])
    return str(error), type(error).__name__, trace


def error_payload(error: BaseException, request_id: str | None) -> dict[str, Any]:
    """What the caller gets for an exception."""
    message: str
    trace: list[Any]
    if isinstance(error, Fault):
        message, kind, trace = error.message, error.error_type, error.trace
    else:
        message, kind, trace = describe(error)
    payload: dict[str, Any] = {"errorMessage": message, "errorType": kind}
    if Declared.minor >= 8:
        payload["requestId"] = request_id
    payload["stackTrace"] = trace
    return payload


def log_payload(payload: dict[str, Any]) -> None:
    if Declared.minor < 8:
        lines = payload["stackTrace"]
        shown = ['  File "{}", line {}, in {}\n    {}\n'.format(*line) for line in lines]
        payload = dict(payload, stackTrace=shown)
    log_error(payload)


# Running


def load_handler(name: str) -> Any:
    """Import the function's module and find the handler in it; raises Fault as AWS names it."""
    from importlib import import_module

    try:
        module_name, attribute = name.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{name}': {error}") from None
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict",
            f"Cannot use built-in module {module_name} as a handler module",
        )
    try:
        module = import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault(
            "Runtime.ImportModuleError",
            f"Unable to import module '{module_name}': {error}",
        ) from None
    except SyntaxError as error:
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {error}",
            [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'],
        ) from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{attribute}' missing on module '{module_name}'",
        ) from None


def highest_memory() -> int:
    """The most resident memory so far, in KiB.

    Not from getrusage: a process that was started by another one counts that one's memory too.
    """
    try:
        with open("/proc/self/status", "rb", 0) as status:
            text = status.read(4096)
        start = text.index(b"VmHWM:") + 6
        return int(text[start : text.index(b"kB", start)])
    except (OSError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


class Runtime:
    """Serves invocations, one after the other, until the engine closes the socket."""

    def __init__(self, descriptor: int, attend_s: float) -> None:
        os.set_inheritable(descriptor, False)
        family, kind = _socket.AF_UNIX, _socket.SOCK_STREAM
        self._socket = self.socket = _socket.socket(family, kind, 0, fileno=descriptor)
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._count = 0
        self._attend_s = attend_s
        self._attentive = False
        self._memory_kb = 0
        self._cpu_us = 0
        self._sampled: tuple[int, float] = (0, 0.0)
        self._encoder = Encoder(Declared.minor < 12)

    def begin_again(self) -> None:
        """Count from here: this process is a copy, and its socket a new one."""
        self._filled = self._count = 0
        self._sampled = (0, time.process_time())

    def send(self, kind: int, payload: bytes) -> None:
        """Write one frame, at once."""
        count = self._count
        if count < 4 or not count & 63:
            self._sample(count)
        self._count = count + 1
        self._socket.sendall(
            REPLY.pack(len(payload) + 9, kind, self._memory_kb, self._cpu_us) + payload
        )

    def _sample(self, count: int) -> None:
        """Measure now and then: it costs more than an invocation may."""
        self._memory_kb = highest_memory()
        cpu_s = time.process_time()
        before_count, before_s = self._sampled
        if before_count < count:
            self._cpu_us = int((cpu_s - before_s) * 1e6) // (count - before_count)
        self._sampled = (count, cpu_s)

    def _attend(self) -> int:
        """Wait actively for a moment: a process that sleeps wakes late, and slow. Bytes read."""
        receive_into = self._socket.recv_into
        until = time.monotonic() + self._attend_s
        while True:
            try:
                got = receive_into(self._view[self._filled :], 0, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.monotonic() > until:
                    return 0
            else:
                if not got:
                    os._exit(0)
                return got

    def receive(self) -> memoryview:
        """The next frame as a view; it holds until the frame after it is received."""
        filled = self._filled
        if self._attentive and filled < 4:
            filled += self._attend()
        while filled < 4:
            got = self._socket.recv_into(self._view[filled:])
            if not got:
                os._exit(0)
            filled += got
        length = int.from_bytes(self._buffer[:4], "little")
        end = 4 + length
        if end <= BUFFER_BYTES:
            while filled < end:
                got = self._socket.recv_into(self._view[filled:])
                if not got:
                    os._exit(0)
                filled += got
            frame = self._view[4:end]
            if filled > end:
                frame = memoryview(bytes(frame))
                self._buffer[: filled - end] = self._buffer[end:filled]
            self._filled = filled - end
            return frame
        large = bytearray(length)
        view = memoryview(large)
        view[: filled - 4] = self._view[4:filled]
        at = filled - 4
        while at < length:
            got = self._socket.recv_into(view[at : at + BUFFER_BYTES])
            if not got:
                os._exit(0)
            at += got
        self._filled = 0
        return view

    def initialise(self) -> Any:
        """Load the handler; reports the failure and ends the process where there is one."""
        try:
            handler = load_handler(os.environ["_HANDLER"])
        except Exception as error:
            payload = error_payload(error, "")
            write_record(init_warning())
            log_payload(payload)
            sys.stdout.flush()
            self.send(INIT_ERROR, json.dumps(payload).encode())
            os._exit(1)
        self._encoder.walks = has_named_tuples()
        snapshot: Any = None
        told = b""
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            sys.path.insert(0, os.path.dirname(__file__))
            from lamington_snapshot import Snapshot

            del sys.path[0]
            snapshot = Snapshot(self)
            told = snapshot.take()
        sys.stdout.flush()
        sys.stderr.flush()
        self.send(READY, told)
        if snapshot is not None:
            snapshot.wait()
        return handler

    def serve(self, handler: Any) -> None:
        """Serve invocations for ever."""
        loads = json.loads
        encoder = self._encoder
        event: Any
        context: Any
        body: Any
        while True:
            frame = self.receive()
            self._attentive = frame[0] == INVOKE_ATTENTIVELY
            try:
                _, context, body = open_frame(frame)
                try:
                    event = loads(body)
                except ValueError as error:
                    raise Fault(
                        "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}"
                    ) from None
                result = handler(event, context)
                if type(result) is bytes:
                    payload = result
                else:
                    try:
                        payload = encoder.render(result)
                    except Exception as error:
                        encoder._numbers.clear()
                        raise Fault(
                            "Runtime.MarshalError",
                            f"Unable to marshal response: {error}",
                        ) from None
                kind = RESULT
            except Exception as error:
                described = error_payload(error, Current.request_id)
                log_payload(described)
                payload = encoder.render(described)
                kind = ERROR
            sys.stdout.flush()
            sys.stderr.flush()
            self.send(kind, payload)
            # What the invocation left is freed while nobody waits for it.
            del payload
            event = result = context = body = None


def open_frame(frame: memoryview) -> tuple[str, LambdaContext, str]:
    """Request id, context and event text of an invocation; sets what is current."""
    _, id_size, arn_size, trace_size, client_size, deadline_ms = INVOCATION.unpack_from(frame)
    at = INVOCATION.size
    texts = str(frame[at : at + id_size + arn_size + trace_size], "utf-8")
    Current.request_id = request_id = texts[:id_size]
    trace_id = texts[id_size + arn_size :]
    if trace_id != Current.trace_id:
        Current.trace_id = trace_id
        if trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
    at += id_size + arn_size + trace_size
    client_context = None
    if client_size:
        try:
            client_context = ClientContext(json.loads(str(frame[at : at + client_size], "utf-8")))
        except Exception as error:
            raise Fault(
                "Runtime.LambdaContextUnmarshalError",
                f"Unable to parse Client Context JSON: {error}",
            ) from None
    arn = texts[id_size : id_size + arn_size]
    context = LambdaContext(request_id, arn, client_context, deadline_ms)
    return request_id, context, str(frame[at + client_size :], "utf-8", "surrogatepass")


def init_warning() -> str:
    """The warning ahead of an init error, in the form of a record of `logging`."""
    if Declared.log_format == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return json.dumps(
            {"timestamp": stamp, "level": "WARNING", "message": INIT_WARNING, "logger": "root"}
        )
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"[WARNING]\t{stamp}.{int(now * 1000) % 1000:03d}Z\t\t{INIT_WARNING}"


class Quitter:
    """`exit` and `quit`, which Python's site module would have made."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"Use {self._name}() or Ctrl-D (i.e. EOF) to exit"

    def __call__(self, code: Any = None) -> None:
        raise SystemExit(code)


CHANNEL = 3
"""The descriptor of the socket to the engine."""


def set_up_path() -> None:
    """Order the places that modules come from: the code, the layers, the library, the SDK.

    AWS: a user's PYTHONPATH replaces `/var/runtime` in it; the runtime's own directory stays.
    """
    runtime = os.environ.get("LAMBDA_RUNTIME_DIR", "")
    given = [each for each in os.environ.get("PYTHONPATH", "").split(":") if each != runtime]
    # An interpreter that was executed has read the variable itself.
    library = [each for each in sys.path if each and each not in given and each != runtime]
    layers = os.environ.pop("LAMINGTON_LAYERS_ROOT", "/opt")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    sys.path[:] = [
        Declared.task_root,
        f"{layers}/python/lib/python{version}/site-packages",
        f"{layers}/python",
        *filter(None, given),
        *library,
        runtime,
    ]


def run(attend_s: float) -> None:
    """Run this environment until it ends.

    `attend_s` is how long to wait actively for the next frame where the engine says that it is
    likely.
    """
    import builtins

    Declared.configure()
    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name))
    sys.argv = ["/var/runtime/bootstrap.py"]
    set_up_path()
    time.tzset()
    reconfigure: Any = getattr(sys.stdout, "reconfigure")  # noqa: B009  # TextIO lacks it
    reconfigure(line_buffering=True)
    logging = sys.modules.get("logging")
    if logging is None:
        sys.meta_path.insert(0, LoggingFinder())
    else:
        set_up_logging(logging)
    runtime = Runtime(CHANNEL, attend_s)
    runtime.serve(runtime.initialise())
