from time import time_ns


def handler(event, context):
    return {"cakes": ["lamington", "pavlova"], "written": time_ns()}
