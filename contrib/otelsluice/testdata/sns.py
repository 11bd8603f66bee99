"""Prints the body of a message that came through a topic, as moto makes it."""

import os

import boto3
from moto import mock_aws

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")

with mock_aws():
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    attributes = {
        "order": {"DataType": "String", "StringValue": '"}]'},
        "traceparent": {"DataType": "String", "StringValue": os.environ["TRACEPARENT"]},
    }
    sns.publish(TopicArn=topic, Message='{"order": "\\"1\\""}', MessageAttributes=attributes)
    print(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
