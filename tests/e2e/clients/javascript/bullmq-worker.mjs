// A BullMQ worker: counts each execution of a job, keeps it in a conversation, and returns the number's square.
// Argument: the port of the sidecar. Ends on SIGTERM, after the jobs that it runs.
import { Worker } from "bullmq";
import Redis from "ioredis";

const connection = { port: Number(process.argv[2]), maxRetriesPerRequest: null };
const client = new Redis(connection);

async function run({ name, data }) {
  if (name === "fail") throw new Error("fails on purpose");
  await client.hincrby("executed", data.number, 1);
  await client.call("MEMAPPEND", "jobs", "user", `job ${data.number}`);
  return data.number ** 2;
}

const worker = new Worker("work", run, { connection, concurrency: 5 });
worker.on("error", console.error);

process.once("SIGTERM", async () => {
  await worker.close();
  await client.quit();
});
