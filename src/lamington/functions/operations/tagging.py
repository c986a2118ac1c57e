"""What tags a resource of Lambda may have. Pure."""

from collections.abc import Mapping

from lamington.functions.entities import TAGS_MAX, InvalidParameterValueException

TAG_KEY_LENGTH_MAX = 128
TAG_VALUE_LENGTH_MAX = 256
SYSTEM_PREFIX = "aws:"


def require_tags(tags: Mapping[str, str]) -> None:
    """Raise InvalidParameterValueException for more or longer tags than a resource may have.

    AWS: 50 tags that are the user's own; those of `aws:` do not count. The texts on lengths are
    ours.
    """
    if sum(not key.startswith(SYSTEM_PREFIX) for key in tags) > TAGS_MAX:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")
    for key, value in tags.items():
        if not 1 <= len(key) <= TAG_KEY_LENGTH_MAX:
            raise InvalidParameterValueException(
                f"The tag key `{key[:200]}` is not between 1 and {TAG_KEY_LENGTH_MAX} characters"
                " long."
            )
        if len(value) > TAG_VALUE_LENGTH_MAX:
            raise InvalidParameterValueException(
                f"The value of the tag `{key}` is longer than {TAG_VALUE_LENGTH_MAX} characters."
            )
