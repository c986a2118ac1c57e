def handler(event, context):
    if event.get("burnt"):
        raise ValueError("It is burnt")
    return {"verdict": "good", "left_ms": context.get_remaining_time_in_millis()}
