// Sends jobs to a BullMQ worker that already waits, and checks what comes back.
// Arguments: the port of the sidecar, and how many jobs to send.
import assert from "node:assert/strict";
import { Queue, QueueEvents } from "bullmq";

const [port, count] = process.argv.slice(2).map(Number);
const connection = { port };
const queue = new Queue("work", { connection });
const events = new QueueEvents("work", { connection: { ...connection, maxRetriesPerRequest: null } });
await events.waitUntilReady();

const named = (number) => ({ name: "square", data: { number } });
const jobs = await queue.addBulk(Array.from({ length: count }, (_, number) => named(number)));
const squares = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30_000)));
assert.deepEqual(squares, jobs.map((_, number) => number ** 2));

// Delayed jobs wait in a sorted set; the worker's blocking command ends when one is due.
const delayed = await queue.add("square", { number: count }, { delay: 200 });
assert.equal(await delayed.waitUntilFinished(events, 30_000), count ** 2);

// A job that fails is tried again as often as was asked for.
const failing = await queue.add("fail", {}, { attempts: 3 });
await assert.rejects(failing.waitUntilFinished(events, 30_000), /fails on purpose/);
assert.equal(await queue.getFailedCount(), 1);
assert.equal((await queue.getFailed())[0].attemptsMade, 3);

await events.close();
await queue.close();
