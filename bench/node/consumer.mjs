// sqs-consumer as a consumer's process: it reads the same spec as the others and
// writes the same result. It handles batches: C handlers at once need a tenth as
// many consumers, each of which receives ten, handles them at once, and deletes
// them in one call.
import { readFileSync } from "node:fs";
import { SQSClient, GetQueueUrlCommand } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const spec = JSON.parse(process.env.SLUICE_BENCH_SPEC);
const sleep = (nanoseconds) => new Promise((done) => setTimeout(done, nanoseconds / 1e6));

const sqs = new SQSClient({
  region: "us-east-1",
  endpoint: spec.endpoint,
  credentials: { accessKeyId: "bench", secretAccessKey: "bench" },
});

async function probe() {
  const took = [];
  for (let i = 0; i < 15; i++) {
    const began = process.hrtime.bigint();
    await sqs.send(new GetQueueUrlCommand({ QueueName: "orders" }));
    took.push(Number(process.hrtime.bigint() - began));
  }
  return took.sort((a, b) => a - b)[7];
}

let counting = false;
const toStart = [];
let calls = 0;
let spent = 0n;

async function handle(message) {
  if (spec.stamped && counting) {
    const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
    toStart.push(Number(now - BigInt(message.Body.split(" ", 1)[0])));
  }
  if (spec.handling > 0) {
    const began = process.hrtime.bigint();
    await sleep(spec.handling);
    calls++;
    spent += process.hrtime.bigint() - began;
  }
}

async function take() {
  const answer = await fetch(spec.mark, { method: "POST" });
  if (!answer.ok) throw new Error(`marking: ${answer.status}`);
  const server = await answer.json();
  const used = process.resourceUsage();
  return { server, cpu: (used.userCPUTime + used.systemCPUTime) * 1000 };
}

function peakRSS() {
  try {
    return Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
  } catch {
    return process.memoryUsage().rss;
  }
}

const latency = await probe();
for (let i = 0; i < Math.ceil(spec.handlers / 10); i++) {
  const consumer = Consumer.create({
    queueUrl: spec.queueUrl,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 20,
    handleMessageBatch: async (messages) => {
      await Promise.all(messages.map(handle));
      return messages; // those to be deleted
    },
  });
  consumer.on("error", () => {}); // it tries again by itself
  consumer.on("processing_error", (err) => { throw err; });
  consumer.start();
}

await sleep(spec.warm);
const before = await take();
counting = true;
await sleep(spec.window);
const after = await take();
const result = {
  before: before.server, after: after.server,
  cpu: Math.round(after.cpu - before.cpu), allocs: 0, bytes: 0, peakRss: peakRSS(),
  latency, handling: calls > 0 ? Math.round(Number(spent) / calls) : 0, toStart: toStart,
};
process.stdout.write(JSON.stringify(result) + "\n", () => process.exit(0));
