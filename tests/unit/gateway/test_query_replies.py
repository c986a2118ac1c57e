"""XML answers of query services, written as JSON."""

import json
from functools import cache

from botocore.loaders import Loader
from botocore.model import ServiceModel

from lamington.gateway.query_replies import render_query_reply

NAMESPACE = 'xmlns="https://iam.amazonaws.com/doc/2010-05-08/"'


@cache
def model(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def test_values_have_the_types_of_the_model() -> None:
    body = f"""<ListRolesResponse {NAMESPACE}><ListRolesResult>
      <IsTruncated>false</IsTruncated>
      <Roles><member><RoleName>a</RoleName><CreateDate>1970-01-01T00:01:00Z</CreateDate>
        <MaxSessionDuration>3600</MaxSessionDuration></member></Roles>
      </ListRolesResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>
      </ListRolesResponse>"""
    written = render_query_reply(body.encode(), model("iam"), "ListRoles")
    assert written is not None
    answer = json.loads(written)["ListRolesResponse"]
    [role] = answer["ListRolesResult"]["Roles"]
    assert answer["ListRolesResult"]["IsTruncated"] is False
    assert answer["ListRolesResult"]["Marker"] is None
    assert (role["RoleName"], role["CreateDate"], role["MaxSessionDuration"]) == ("a", 60, 3600)
    assert answer["ResponseMetadata"] == {"RequestId": "id-1"}


def test_answer_without_a_result_has_its_metadata_alone() -> None:
    body = f"""<DeleteRoleResponse {NAMESPACE}><ResponseMetadata><RequestId>id-1</RequestId>
      </ResponseMetadata></DeleteRoleResponse>"""
    written = render_query_reply(body.encode(), model("iam"), "DeleteRole")
    assert written == b'{"DeleteRoleResponse":{"ResponseMetadata":{"RequestId":"id-1"}}}'


def test_maps_are_objects() -> None:
    body = """<R><GetTopicAttributesResult><Attributes>
      <entry><key>Owner</key><value>1</value></entry></Attributes>
      </GetTopicAttributesResult></R>"""
    written = render_query_reply(body.encode(), model("sns"), "GetTopicAttributes")
    assert written is not None
    assert json.loads(written)["R"]["GetTopicAttributesResult"] == {"Attributes": {"Owner": "1"}}


def test_error_has_code_message_and_type() -> None:
    body = f"""<ErrorResponse {NAMESPACE}><Error><Type>Sender</Type><Code>NoSuchEntity</Code>
      <Message>not there</Message></Error><RequestId>id-1</RequestId></ErrorResponse>"""
    written = render_query_reply(body.encode(), model("iam"), "GetRole")
    assert written is not None
    assert json.loads(written) == {
        "Error": {"Code": "NoSuchEntity", "Message": "not there", "Type": "Sender"},
        "RequestId": "id-1",
    }


def test_what_is_no_answer_is_left_alone() -> None:
    assert render_query_reply(b"<cut", model("iam"), "GetRole") is None
    assert render_query_reply(b"<A/>", model("iam"), "NoSuchAction") is None
