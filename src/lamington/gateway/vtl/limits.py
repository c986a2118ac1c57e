"""What one rendering may cost, and the error that ends one which costs more.

A template comes from whoever deploys an API, and its values from whoever calls it: every loop,
string and structure that a template can build has a bound here. Leaves the counting to the
compiled code and to the library.
"""

from dataclasses import dataclass

from lamington.core.errors import LamingtonError


class TemplateError(LamingtonError):
    """A rendering failed: a Java exception on AWS, or a bound that is exceeded.

    `line` and `column` count from 1 within the template; 0 means that the place is not known.
    """

    def __init__(self, message: str, hint: str = "", *, line: int = 0, column: int = 0) -> None:
        super().__init__(message, hint)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return (
            f"line {self.line}, column {self.column}: {self.message}" if self.line else self.message
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLimits:
    """The bounds of one template.

    AWS: 1000 iterations of a `#foreach`; 10 MB of payload.
    Differs: steps are counted here; AWS ends a rendering by its own time limit.
    """

    template_chars: int = 400_000
    nesting: int = 60
    loop_iterations: int = 1_000
    steps: int = 1_000_000
    output_chars: int = 10_485_760


# Bounds of single values. They are the same for every template.
LIST_LENGTH_MAX = 1_000_000
VALUE_NODES_MAX = 2_000_000
VALUE_DEPTH_MAX = 200
STRING_CHARS_MAX = 10_485_760


def require_length(chars: int) -> None:
    """Raise when a template builds a string that no payload can carry."""
    if chars > STRING_CHARS_MAX:
        raise TemplateError(
            f"A string grew past {STRING_CHARS_MAX} characters.",
            "A payload on AWS has 10 MB at most.",
        )
