"""Lists cakes, those with a tag, not dearer than a price, or vegan ones."""

from catalogue import CAKES


def handler(event, context):
    limit = event["limit"]
    if not isinstance(limit, int) or not 1 <= limit <= 50:
        raise ValueError("Bad request: limit is a whole number from 1 to 50")
    cakes = [cake for cake in CAKES if matches(cake, event)]
    return {"cakes": cakes[:limit], "count": len(cakes)}


def matches(cake, event):
    wanted = set(event["tags"] or [])
    return (
        wanted <= set(cake["tags"])
        and (event["price_max"] is None or cake["price"] <= event["price_max"])
        and (event["vegan"] is None or cake["vegan"] == event["vegan"])
    )
