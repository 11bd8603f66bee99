"""Sends messages by way of SNS, S3 and EventBridge as moto plays them, in this process,
and prints what arrives in SQS: one line of JSON for each message."""

import base64
import json
import os
import sys

os.environ.update(
    AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="eu-central-1",
    AWS_EC2_METADATA_DISABLED="true",
)
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE"):
    os.environ.pop(name, None)

try:
    import boto3
    import moto.events.models
    import moto.s3.models
    import moto.sns.models
    import moto.sqs.models
    from moto import mock_aws
except ImportError:
    sys.exit(77)  # so the test is skipped

BODY = json.dumps({"order": 1, "item": 'two "cups" & ä ☃'})
ATTRIBUTES = {
    "tenant": {"DataType": "String", "StringValue": "acme"},
    "priority": {"DataType": "Number", "StringValue": "7"},
    "thumbnail": {"DataType": "Binary", "BinaryValue": b"\x02\x03\x04"},
}


def arn(client, queue):
    return client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def arrived(case, client, queue):
    got = client.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    ).get("Messages", [])
    for m in got:
        attributes = {
            name: {
                "DataType": a["DataType"],
                "StringValue": a.get("StringValue"),
                "BinaryValue": base64.b64encode(a["BinaryValue"]).decode() if "BinaryValue" in a else None,
            }
            for name, a in m.get("MessageAttributes", {}).items()
        }
        print(json.dumps({"case": case, "body": m["Body"], "attributes": attributes}))


def sns(client, topics):
    for case, fifo, raw in (("sns", False, False), ("sns raw", False, True), ("sns fifo", True, False)):
        suffix, attributes = "", {}
        if fifo:
            suffix = ".fifo"
            attributes = {"FifoTopic": "true"}
        name = case.replace(" ", "-") + suffix
        queue = client.create_queue(
            QueueName=name, Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"} if fifo else {}
        )["QueueUrl"]
        topic = topics.create_topic(Name=name, Attributes=attributes)["TopicArn"]
        topics.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn(client, queue),
            Attributes={"RawMessageDelivery": str(raw).lower()},
        )
        more = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo else {}
        sent = dict(ATTRIBUTES)
        if raw:
            del sent["thumbnail"]  # moto 5.2.1 cannot receive it then
        topics.publish(TopicArn=topic, Message=BODY, Subject="A new order", MessageAttributes=sent, **more)
        arrived(case, client, queue)


def s3(client, topics, buckets):
    queue = client.create_queue(QueueName="s3")["QueueUrl"]
    direct, by_topic = (
        {"QueueConfigurations": [{"QueueArn": arn(client, queue), "Events": ["s3:ObjectCreated:*"]}]},
        {"TopicConfigurations": [{"TopicArn": topics.create_topic(Name="s3")["TopicArn"], "Events": ["s3:ObjectCreated:*"]}]},
    )
    topics.subscribe(
        TopicArn=by_topic["TopicConfigurations"][0]["TopicArn"], Protocol="sqs", Endpoint=arn(client, queue)
    )
    for case, configuration in (("s3", direct), ("s3 by sns", by_topic)):
        bucket = case.replace(" ", "-") + "-photos"
        buckets.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        buckets.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
        arrived(case + " test", client, queue)
        buckets.put_object(Bucket=bucket, Key="in/my photo+1@home ä.jpg", Body=b"four")
        arrived(case, client, queue)


def eventbridge(client, topics, buckets, events):
    queue = client.create_queue(QueueName="events")["QueueUrl"]
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["com.acme.orders", "aws.s3"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn(client, queue)}])
    events.put_events(Entries=[{"Source": "com.acme.orders", "DetailType": "Order Placed", "Detail": BODY, "Resources": ["arn:aws:s3:::x"]}])
    arrived("eventbridge", client, queue)
    buckets.create_bucket(Bucket="event-photos", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    buckets.put_bucket_notification_configuration(Bucket="event-photos", NotificationConfiguration={"EventBridgeConfiguration": {}})
    buckets.put_object(Bucket="event-photos", Key="in/my photo+1@home ä.jpg", Body=b"four")
    arrived("s3 by eventbridge", client, queue)


with mock_aws():
    of = {name: boto3.client(name, region_name="eu-central-1") for name in ("sqs", "sns", "s3", "events")}
    sns(of["sqs"], of["sns"])
    s3(of["sqs"], of["sns"], of["s3"])
    eventbridge(of["sqs"], of["sns"], of["s3"], of["events"])
