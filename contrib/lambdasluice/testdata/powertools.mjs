// Reads cases from standard input, and prints what Powertools reports for each: the ids in the order
// of the report, or null if it throws because all messages failed.
import {
  BatchProcessor, EventType, SqsFifoPartialProcessorAsync, processPartialResponse,
} from '@aws-lambda-powertools/batch';
import { readFileSync } from 'node:fs';

const answers = [];
for (const { mode, event, failing } of JSON.parse(readFileSync(0, 'utf8'))) {
  const processor = mode === 'standard' ? new BatchProcessor(EventType.SQS) : new SqsFifoPartialProcessorAsync();
  const handler = async (record) => {
    if (failing.includes(record.messageId)) throw new Error('bad');
  };
  const options = mode === 'group' ? { skipGroupOnError: true } : {};
  try {
    const { batchItemFailures } = await processPartialResponse(event, handler, processor, options);
    answers.push(batchItemFailures.map((f) => f.itemIdentifier));
  } catch (e) {
    if (e.name !== 'FullBatchFailureError') throw e;
    answers.push(null);
  }
}
console.log(JSON.stringify(answers));
