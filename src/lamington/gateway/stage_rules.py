"""What API Gateway refuses of a stage of any API, in AWS's own words: its name and variables."""

import re
from collections.abc import Mapping

from lamington.gateway.entities import BadRequestException

VARIABLES_MAX = 100
VARIABLE_NAME_MAX = 64
VARIABLE_VALUE_MAX = 512

_STAGE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_VARIABLE_NAME = re.compile(r"[a-zA-Z0-9_]+")
_VARIABLE_VALUE = re.compile(r"[A-Za-z0-9\-._~:/?#&=,@ ]*")


def require_stage_name(name: str) -> None:
    if not _STAGE_NAME.fullmatch(name):
        raise BadRequestException("Stage name only allows a-zA-Z0-9_-")


def require_stage_variables(variables: Mapping[str, str]) -> None:
    if len(variables) > VARIABLES_MAX:
        raise BadRequestException(f"A stage may have {VARIABLES_MAX} variables")
    for name, value in variables.items():
        if not _VARIABLE_NAME.fullmatch(name) or len(name) > VARIABLE_NAME_MAX:
            raise BadRequestException(
                "Stage variable name can only contain alphanumeric characters and"
                f" underscores: {name}"
            )
        if not _VARIABLE_VALUE.fullmatch(value) or len(value) > VARIABLE_VALUE_MAX:
            raise BadRequestException(
                "Stage variable value can only contain alphanumeric characters and"
                f" -._~:/?#&=,@ : {name}"
            )
