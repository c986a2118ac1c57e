"""Going live: the built service to AWS, or to anything that speaks its protocols.

Uploads the packages that are not there yet to a private bucket, creates or updates the stack with
the same template that `up` runs, and tells the events as they come. Left to others: building
(`package`), and raising on the engine of this process (`local`). boto3 is loaded only here.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from lamington.core.aws import DEFAULT_REGION
from lamington.core.errors import LamingtonError, UsageError
from lamington.service.definition import BuiltService
from lamington.service.expanded import expand_api
from lamington.service.template import BUCKET_PARAMETER

Client = Any
"""A boto3 client: its methods are made from a service model when it is."""

TEMPLATE_BODY_MAX_BYTES = 51_200
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM")
POLL_FIRST_S = 0.2
POLL_MAX_S = 5.0
WAIT_MAX_S = 3600.0
OLD_STATUS_MAX_S = 10.0
READ_RETRIES = 5

_SUCCESS = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_DELETED_FIRST = ("ROLLBACK_COMPLETE", "CREATE_FAILED", "REVIEW_IN_PROGRESS", "DELETE_FAILED")
_NO_UPDATES = "No updates are to be performed"
_NOT_FOUND = "does not exist"
_UNSUPPORTED = ("NotImplemented", "UnsupportedOperation", "MethodNotAllowed")


class DeployError(LamingtonError):
    """The stack could not be brought to what was built; the message is the first reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to: empty members are AWS's own defaults (profile, environment, endpoints).

    An empty region is the one that the stage names, then that of the profile.
    """

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployEvent:
    """A stack event as CloudFormation tells it."""

    event_id: str
    timestamp: datetime | None
    logical_id: str
    resource_type: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What stands now; `changed` is false where there was nothing to do."""

    stack_name: str
    stack_id: str
    status: str
    changed: bool
    url: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    uploaded: tuple[str, ...] = ()


Tell = Callable[[str], None]
TellEvent = Callable[[DeployEvent], None]


def deploy(
    built: BuiltService,
    destination: Destination,
    *,
    stack_name: str = "",
    parameters: Mapping[str, str] | None = None,
    api_as_resources: bool = False,
    tell: Tell = lambda words: None,
    tell_event: TellEvent = lambda event: None,
) -> Deployed:
    """Bring the stack at the destination to what was built.

    `api_as_resources` is for a stand-in that cannot import a definition (see `expanded`).

    A parameter is taken from `parameters`, then from the stage, then from its default; one that
    has none keeps its value. Raises DeployError with the reason of the first resource that failed,
    or with what the service said.
    """
    name = stack_name or built.stack_name
    if api_as_resources:
        built = replace(built, template=expand_api(built))
    session = _Session(destination, built.stage.region)
    with _translated():
        bucket = _make_bucket(session, tell) if built.artifacts else ""
        uploaded = _upload(session.s3, bucket, built, tell)
        template = _template(session.s3, bucket, built)
        watch = _StackWatch(session.cloudformation, name, tell_event)
        existing = watch.describe()
        if existing is not None and existing["StackStatus"] in _DELETED_FIRST:
            tell(f"the stack is {existing['StackStatus']}: it is deleted first")
            watch.delete(existing["StackId"])
            existing = None
        _require_idle(existing, name)
        given = {**built.stage.parameters, **(parameters or {})}
        if bucket:
            given[BUCKET_PARAMETER] = bucket
        request: dict[str, Any] = {
            "StackName": name,
            "Capabilities": list(CAPABILITIES),
            "Parameters": _parameters(built, given, existing),
            **template,
        }
        changed = watch.raise_stack(request, create=existing is None)
        return _deployed(watch, name, changed=changed, uploaded=uploaded)


def destroy(
    stack_name: str,
    destination: Destination,
    *,
    default_region: str = "",
    tell: Tell = lambda words: None,
    tell_event: TellEvent = lambda event: None,
) -> bool:
    """Delete the stack and wait for its end; False where there is none.

    The bucket with the packages stays: other services use it, and a rollback may need them.
    """
    session = _Session(destination, default_region)
    with _translated():
        watch = _StackWatch(session.cloudformation, stack_name, tell_event)
        existing = watch.describe()
        if existing is None:
            return False
        watch.delete(existing["StackId"])
        tell(f"the bucket `{session.bucket_name()}` stays, with the packages in it")
        return True


class _Session:
    """Clients for one destination; boto3 is loaded here."""

    def __init__(self, destination: Destination, default_region: str) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import ProfileNotFound

        try:
            session = boto3.Session(profile_name=destination.profile or None)
        except ProfileNotFound as error:
            raise UsageError(str(error), hint="`aws configure list-profiles` names them") from None
        self.region = destination.region or default_region or session.region_name or DEFAULT_REGION
        url = destination.endpoint_url or None
        plain = Config(retries={"mode": "standard", "max_attempts": READ_RETRIES})
        # A stand-in has no host name for each bucket.
        paths = plain.merge(Config(s3={"addressing_style": "path"})) if url else plain
        keys = {"region_name": self.region, "endpoint_url": url}
        client: Callable[..., Client] = session.client
        self.s3: Client = client("s3", config=paths, **keys)
        self.cloudformation: Client = client("cloudformation", config=plain, **keys)
        self._sts: Client = client("sts", config=plain, **keys)

    def bucket_name(self) -> str:
        account_id = self._sts.get_caller_identity()["Account"]
        return f"lamington-artifacts-{account_id}-{self.region}"


class _translated:
    """Turns botocore's errors into ours, with the service's own code and words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        if isinstance(error, ClientError):
            answer = error.response.get("Error", {})
            operation = error.operation_name
            raise DeployError(
                f"{operation} was refused: {answer.get('Message', error)}"
                f" ({answer.get('Code', 'no code')})",
                hint=_refusal_hint(str(answer.get("Code", ""))),
            ) from error
        if isinstance(error, BotoCoreError):
            raise DeployError(str(error), hint=_connection_hint(error)) from error
        if isinstance(error, ResponseParserError):
            raise DeployError(
                f"the endpoint's answer cannot be read: {error}",
                hint="it is not one of AWS's: `--endpoint-url` leads to a stand-in that lacks this;"
                " one that imports no API definitions takes `--api-as-resources`",
            ) from error


def _refusal_hint(code: str) -> str:
    if code in ("ExpiredToken", "ExpiredTokenException"):
        return "log in again: the credentials have expired"
    if "AccessDenied" in code or "Unauthorized" in code:
        return "the credentials may not do this; `--profile` takes others"
    return ""


def _connection_hint(error: Exception) -> str:
    if "credentials" in str(error).lower():
        return "give credentials by `--profile`, or by AWS_ACCESS_KEY_ID and its like"
    return "is the endpoint there? `--endpoint-url` and `--region` say where it is"


def _make_bucket(session: _Session, tell: Tell) -> str:
    """The bucket for packages, made once: private, versioned, encrypted."""
    from botocore.exceptions import ClientError

    s3, name = session.s3, session.bucket_name()
    try:
        s3.head_bucket(Bucket=name)
        return name
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    if session.region == "us-east-1":
        s3.create_bucket(Bucket=name)
    else:
        place: Any = {"LocationConstraint": session.region}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)
    tell(f"made the bucket `{name}`")
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    try:
        s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
    except ClientError as error:
        # AWS encrypts every bucket anyway since 2023; a stand-in may not know the operation.
        if error.response["Error"]["Code"] not in _UNSUPPORTED:
            raise
    return name


def _upload(s3: Client, bucket: str, built: BuiltService, tell: Tell) -> tuple[str, ...]:
    """Upload the packages that are not there; a key holds the content's hash."""
    uploaded: list[str] = []
    for artifact in built.artifacts.values():
        if not _exists(s3, bucket, artifact.key):
            s3.put_object(Bucket=bucket, Key=artifact.key, Body=artifact.path.read_bytes())
            tell(f"uploaded `{artifact.function}` ({artifact.size_bytes:,} bytes)")
            uploaded.append(artifact.function)
    return tuple(uploaded)


def _exists(s3: Client, bucket: str, key: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _template(s3: Client, bucket: str, built: BuiltService) -> dict[str, str]:
    text = msgspec.json.encode(built.template)
    if len(text) <= TEMPLATE_BODY_MAX_BYTES:
        return {"TemplateBody": text.decode()}
    if not bucket:
        raise UsageError(
            f"the template has {len(text):,} bytes: more than a stack without functions may have",
            hint=f"{TEMPLATE_BODY_MAX_BYTES:,} bytes are allowed",
        )
    key = f"{built.name}/template-{hashlib.sha256(text).hexdigest()}.json"
    if not _exists(s3, bucket, key):
        s3.put_object(Bucket=bucket, Key=key, Body=text, ContentType="application/json")
    return {"TemplateURL": f"{s3.meta.endpoint_url}/{bucket}/{key}"}


def _require_idle(existing: Mapping[str, Any] | None, name: str) -> None:
    status = str(existing["StackStatus"]) if existing else ""
    if status.endswith("_IN_PROGRESS"):
        raise DeployError(
            f"the stack `{name}` is {status}", hint="wait for its end, then deploy again"
        )
    if status in ("ROLLBACK_FAILED", "UPDATE_ROLLBACK_FAILED"):
        raise DeployError(
            f"the stack `{name}` is {status}",
            hint="mend it first: `aws cloudformation continue-update-rollback`, or delete it",
        )


def _parameters(
    built: BuiltService, given: Mapping[str, str], existing: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    declared: Mapping[str, Any] = built.template.get("Parameters", {})
    for key in given:
        if key not in declared:
            raise UsageError(
                f"`{key}` is not a parameter of the stack",
                hint="there is " + (", ".join(f"`{each}`" for each in declared) or "none"),
            )
    before = {each["ParameterKey"] for each in (existing or {}).get("Parameters", ())}
    result: list[dict[str, Any]] = []
    for key, parameter in declared.items():
        if key in given:
            result.append({"ParameterKey": key, "ParameterValue": given[key]})
        elif "Default" not in parameter and key in before:
            result.append({"ParameterKey": key, "UsePreviousValue": True})
    return result


class _StackWatch:
    """One stack: what it is, what is done to it, and its events, each told once."""

    def __init__(self, client: Client, name: str, tell_event: TellEvent) -> None:
        self._client = client
        self._name = name
        self._tell_event = tell_event
        self._seen: set[str] = set()
        self._events: list[DeployEvent] = []

    def describe(self, stack_id: str = "") -> Mapping[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            answer = self._client.describe_stacks(StackName=stack_id or self._name)
        except ClientError as error:
            if _NOT_FOUND in str(error):
                return None
            raise
        stacks = answer["Stacks"]
        if not stacks or (not stack_id and stacks[0]["StackStatus"] == "DELETE_COMPLETE"):
            return None
        stack: Mapping[str, Any] = stacks[0]
        return stack

    def raise_stack(self, request: dict[str, Any], *, create: bool) -> bool:
        """Create or update, and wait; False where there is nothing to update."""
        from botocore.exceptions import ClientError

        if create:
            stack_id = self._client.create_stack(**request)["StackId"]
        else:
            self._seen.update(event.event_id for event in self._new_events(self._name))
            try:
                stack_id = self._client.update_stack(**request)["StackId"]
            except ClientError as error:
                if _NO_UPDATES in str(error):
                    return False
                raise
        status = self._wait(stack_id)
        if status not in _SUCCESS:
            raise DeployError(self._first_reason(status), hint=_failure_hint(status))
        return True

    def delete(self, stack_id: str) -> None:
        """Delete and wait for the end."""
        self._seen.update(event.event_id for event in self._new_events(stack_id))
        self._client.delete_stack(StackName=self._name)
        status = self._wait(stack_id, prefix="DELETE")
        if status != "DELETE_COMPLETE":
            raise DeployError(self._first_reason(status), hint=f"the stack is {status}")

    def _wait(self, stack_id: str, prefix: str = "") -> str:
        """Tell events until the stack comes to rest; a deleted one may vanish altogether.

        A status without the prefix is taken for that of before, which some endpoints still show.
        """
        self._events.clear()
        deadline = time.monotonic() + WAIT_MAX_S
        old_until = time.monotonic() + OLD_STATUS_MAX_S
        pause_s = POLL_FIRST_S
        while time.monotonic() < deadline:
            stack = self.describe(stack_id)
            status = str(stack["StackStatus"]) if stack else "DELETE_COMPLETE"
            news = self._new_events(stack_id) if stack else []
            for event in news:
                self._seen.add(event.event_id)
                self._events.append(event)
                self._tell_event(event)
            old = not status.startswith(prefix) and time.monotonic() < old_until
            if not (old or status.endswith("_IN_PROGRESS")):
                return status
            time.sleep(pause_s)
            pause_s = POLL_FIRST_S if news else min(pause_s * 1.5, POLL_MAX_S)
        raise DeployError(
            f"the stack `{self._name}` did not come to rest within {WAIT_MAX_S / 60:.0f} minutes"
        )

    def _new_events(self, stack_id: str) -> list[DeployEvent]:
        """The events not told yet, oldest first; pages are read back to the first known one."""
        from botocore.exceptions import ClientError

        news: list[DeployEvent] = []
        try:
            for page in self._client.get_paginator("describe_stack_events").paginate(
                StackName=stack_id
            ):
                fresh = [
                    event
                    for event in _events(page["StackEvents"])
                    if event.event_id not in self._seen
                ]
                news += fresh
                if len(fresh) < len(page["StackEvents"]):
                    break
        except ClientError as error:
            if _NOT_FOUND not in str(error):
                raise
        news.reverse()
        # AWS lists the newest first; some stand-ins list the oldest first.
        if all(event.timestamp for event in news):
            news.sort(key=lambda event: event.timestamp or datetime.min)
        return news

    def _first_reason(self, status: str) -> str:
        for event in self._events:
            cancelled = "cancelled" in event.reason.lower()
            if event.status.endswith("_FAILED") and event.reason and not cancelled:
                return f"{event.logical_id} ({event.resource_type}): {event.reason}"
        stack = self.describe() or {}
        return str(stack.get("StackStatusReason") or f"the stack is {status}, without a reason")


def _failure_hint(status: str) -> str:
    if status.startswith("UPDATE_ROLLBACK"):
        return f"the stack is {status}: it is as it was before"
    if status.startswith("ROLLBACK"):
        return f"the stack is {status}: the next deploy deletes it and begins anew"
    return f"the stack is {status}"


def _events(events: Any) -> Iterator[DeployEvent]:
    for event in events:
        yield DeployEvent(
            event_id=str(event["EventId"]),
            timestamp=event.get("Timestamp"),
            logical_id=event.get("LogicalResourceId", ""),
            resource_type=event.get("ResourceType", ""),
            status=event.get("ResourceStatus", ""),
            reason=event.get("ResourceStatusReason") or "",
        )


def _deployed(
    watch: _StackWatch, name: str, *, changed: bool, uploaded: tuple[str, ...]
) -> Deployed:
    stack = watch.describe() or {}
    outputs = {
        str(output["OutputKey"]): str(output["OutputValue"]) for output in stack.get("Outputs", ())
    }
    return Deployed(
        stack_name=name,
        stack_id=str(stack.get("StackId", "")),
        status=str(stack.get("StackStatus", "")),
        changed=changed,
        url=outputs.get("ApiUrl", ""),
        outputs=outputs,
        uploaded=uploaded,
    )
