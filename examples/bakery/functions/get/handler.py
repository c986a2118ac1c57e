"""Gets one cake by its id."""

from catalogue import CAKES


def handler(event, context):
    for cake in CAKES:
        if cake["id"] == event["id"]:
            return cake
    raise LookupError(f"No cake is called {event['id']}")
