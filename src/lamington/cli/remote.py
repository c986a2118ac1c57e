"""Calls from a command to an AWS endpoint: a running engine's, or AWS's own.

boto3 is loaded here, when a command first needs it, and nowhere on the way to `--help`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamington.cli.up import load_engine_state
from lamington.core.aws import DEFAULT_REGION
from lamington.core.errors import LamingtonError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a command's calls go. An empty `url` is AWS, with the user's own credentials."""

    url: str
    region: str
    stack_name: str
    account_id: str = ""
    profile: str = ""

    def client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        # A long invocation must not be sent twice because its answer took its time.
        config = Config(read_timeout=910, retries={"max_attempts": 0}) if self.url else None
        session: Any
        if self.account_id:
            session = boto3.Session(
                aws_access_key_id=self.account_id,
                aws_secret_access_key="lamington",
                region_name=self.region,
            )
        else:
            # As in a deploy: the flag's region, the profile's, then the default.
            session = boto3.Session(profile_name=self.profile or None)
            region = self.region or session.region_name or DEFAULT_REGION
            session = boto3.Session(profile_name=self.profile or None, region_name=region)
        return session.client(service, endpoint_url=self.url or None, config=config)

    def physical_id(self, logical_id: str) -> str:
        """The physical id of a resource of the service's stack."""
        from botocore.exceptions import ClientError

        try:
            answer = self.client("cloudformation").describe_stack_resources(
                StackName=self.stack_name, LogicalResourceId=logical_id
            )
        except ClientError as error:
            raise remote_error(error) from None
        return str(answer["StackResources"][0]["PhysicalResourceId"])


class RemoteError(LamingtonError):
    """An AWS endpoint refused or could not be reached."""


def find_endpoint(
    root: Path, *, endpoint_url: str, region: str, profile: str, stack_name: str
) -> Endpoint:
    """The endpoint that the flags name, or the engine that serves the directory."""
    if endpoint_url or profile:
        if not stack_name:
            raise UsageError("which stack?", hint="run it in the service's directory")
        return Endpoint(url=endpoint_url, region=region, profile=profile, stack_name=stack_name)
    state = load_engine_state(root)
    return Endpoint(
        url=state.aws_endpoint,
        region=state.region,
        account_id=state.account_id,
        stack_name=state.stack_name,
    )


def remote_error(error: Exception) -> RemoteError:
    """A botocore error as one of ours, with the service's own code and words."""
    answer = getattr(error, "response", {}).get("Error", {})
    if answer:
        return RemoteError(f"{answer.get('Code')}: {answer.get('Message')}")
    words = str(error).lower()
    if "credentials" in words:
        hint = "give credentials by `--profile`, or by AWS_ACCESS_KEY_ID and its like"
    elif "profile" in words:
        hint = "`aws configure list-profiles` names them"
    else:
        hint = "is the engine running? `lamington up` starts it"
    return RemoteError(str(error), hint=hint)
