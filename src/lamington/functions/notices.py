"""Rare things that are counted and told: the names of metrics, and who is told of them.

Left to others: where a metric is kept (`metrics`), and where a line is shown.
"""

from typing import Protocol

THROTTLES = "Throttles"
EVENTS_RECEIVED = "AsyncEventsReceived"
EVENT_AGE_MS = "AsyncEventAge"
EVENTS_DROPPED = "AsyncEventsDropped"
DEAD_LETTER_ERRORS = "DeadLetterErrors"
DESTINATION_DELIVERY_FAILURES = "DestinationDeliveryFailures"
RECURSIVE_INVOCATIONS_DROPPED = "RecursiveInvocationsDropped"


class Notice(Protocol):
    """Takes a value of one of AWS's metrics of a function."""

    def __call__(self, function_arn: str, metric: str, value: float, text: str = "") -> None:
        """`function_arn` is as invoked; `text` is a line for people, "" where there is none."""
        ...
