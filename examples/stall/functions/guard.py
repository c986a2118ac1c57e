MEMBERS = ("ada", "olga")


def handler(event, context):
    name = event["authorizationToken"].removeprefix("Member ")
    if name not in MEMBERS:
        raise Exception("Unauthorized")
    return {
        "principalId": name,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
            ],
        },
        "context": {"discount": "10"},
    }
