// Sends messages as a program with the JavaScript SDK and its instrumentation does, and prints the
// spans that sent them. ENDPOINT is the server, QUEUE_URL the queue.
const { trace } = require('@opentelemetry/api');
const { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { AwsInstrumentation } = require('@opentelemetry/instrumentation-aws-sdk');

const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register(); // with W3C's propagators
registerInstrumentations({ tracerProvider: provider, instrumentations: [new AwsInstrumentation()] });

const { SQSClient, SendMessageCommand, SendMessageBatchCommand } = require('@aws-sdk/client-sqs'); // after its instrumentation

async function main() {
  const client = new SQSClient({
    endpoint: process.env.ENDPOINT,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const QueueUrl = process.env.QUEUE_URL;
  await trace.getTracer('producer').startActiveSpan('checkout', async (span) => {
    await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'one' }));
    await client.send(new SendMessageBatchCommand({
      QueueUrl,
      Entries: [{ Id: 'a', MessageBody: 'two' }, { Id: 'b', MessageBody: 'three' }],
    }));
    span.end();
  });
  const sent = exporter.getFinishedSpans().map((s) => ({ name: s.name, kind: s.kind, ...s.spanContext() }));
  console.log(JSON.stringify(sent));
}

main().catch((err) => { console.error(err); process.exit(1); });
