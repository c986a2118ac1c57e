def handler(event, context):
    print("complaint:", event["requestContext"]["condition"], event["responsePayload"])
