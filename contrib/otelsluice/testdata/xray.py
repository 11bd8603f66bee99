"""Sends messages as a program with X-Ray's SDK does, and prints the segment that sent them.

ENDPOINT is the server, QUEUE_URL the queue. X-Ray's SDK says which trace a call belongs to by
an HTTP header.
"""

import json
import os

import boto3
from aws_xray_sdk.core import patch, xray_recorder

xray_recorder.configure(service="checkout", sampling=False, daemon_address="127.0.0.1:9")
patch(["botocore"])

client = boto3.client(
    "sqs",
    endpoint_url=os.environ["ENDPOINT"],
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
url = os.environ["QUEUE_URL"]
segment = xray_recorder.begin_segment("checkout", sampling=1)
client.send_message(QueueUrl=url, MessageBody="one")
client.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "two"}, {"Id": "b", "MessageBody": "three"}])
sent = [{"trace": segment.trace_id, "span": s.id} for s in segment.subsegments]
print(json.dumps(sent))
