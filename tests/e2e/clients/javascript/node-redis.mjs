// node-redis works as on Redis, in both protocols: values, transactions, a pool, subscriptions, MEM commands.
// Argument: the port of the sidecar.
import assert from "node:assert/strict";
import { createClient, createClientPool, WatchError } from "redis";

const url = `redis://127.0.0.1:${process.argv[2]}`;

async function exercise(RESP) {
  const client = await createClient({ url, RESP }).connect();
  await client.flushAll();

  await client.hSet("hash", { a: "1", b: "2" });
  assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
  const numbers = await Promise.all(Array.from({ length: 10_000 }, () => client.incr("n")));
  assert.deepEqual(numbers, Array.from({ length: 10_000 }, (_, index) => index + 1));
  assert.deepEqual(await client.sendCommand(["MEMCOUNT", "hello", "hello world"]), [1, 2]);

  assert.deepEqual(await client.multi().set("a", "1").incr("a").exec(), ["OK", 2]);
  const other = await client.duplicate().connect();
  await client.watch("a");
  await other.set("a", "changed");
  await assert.rejects(client.multi().set("a", "lost").exec(), WatchError);

  const heard = [];
  let complete;
  const done = new Promise((resolve) => (complete = resolve));
  const subscriber = await client.duplicate().connect();
  await subscriber.subscribe("news", (message) => heard.push(message) === 500 && complete());
  await Promise.all(Array.from({ length: 500 }, (_, number) => other.publish("news", String(number))));
  await done;
  assert.deepEqual(heard, Array.from({ length: 500 }, (_, number) => String(number)));
  await subscriber.unsubscribe("news");

  // Each client of a pool waits in a command of its own.
  const pool = await createClientPool({ url, RESP }, { maximum: 5 }).connect();
  const waiting = Array.from({ length: 5 }, (_, number) => pool.blPop(`jobs:${number}`, 0));
  await Promise.all(waiting.map((_, number) => other.rPush(`jobs:${number}`, String(number))));
  assert.deepEqual((await Promise.all(waiting)).map(({ element }) => element), ["0", "1", "2", "3", "4"]);
  await pool.close();

  await Promise.all([client, other, subscriber].map((one) => one.close()));
}

await exercise(2);
await exercise(3);
