// ioredis works as on Redis: pipelines, transactions, scripts, blocking commands, subscriptions.
// Argument: the port of the sidecar.
import assert from "node:assert/strict";
import Redis from "ioredis";

const port = Number(process.argv[2]);

async function exercise(protocol) {
  const client = new Redis({ port, protocol, maxRetriesPerRequest: 1 });
  await client.flushall();

  // Ten thousand commands at once, without waiting: each promise gets its own reply.
  const numbers = await Promise.all(Array.from({ length: 10_000 }, () => client.incr("n")));
  assert.deepEqual(numbers, Array.from({ length: 10_000 }, (_, index) => index + 1));

  // Commands of Redis and of the sidecar in one pipeline, an error in its place.
  const [stored, refused, counted] = await client.pipeline()
    .set("text", "hällo")
    .incr("text")
    .call("MEMCOUNT", "hello", "hello world")
    .exec();
  assert.deepEqual(stored, [null, "OK"]);
  assert.match(refused[0].message, /not an integer/);
  assert.deepEqual(counted, [null, [1, 2]]);

  // A transaction, and one that a watched key aborts.
  assert.deepEqual(await client.multi().set("a", "1").incr("a").exec(), [[null, "OK"], [null, 2]]);
  await client.watch("a");
  const other = client.duplicate();
  await other.set("a", "changed");
  assert.equal(await client.multi().set("a", "lost").exec(), null);

  // A script is sent after NOSCRIPT and called by its hash from then on.
  client.defineCommand("double", { numberOfKeys: 1, lua: "return redis.call('GET', KEYS[1]) * 2" });
  await client.set("seven", 7);
  assert.deepEqual([await client.double("seven"), await client.double("seven")], [14, 14]);

  // A blocked client is woken by another.
  const waiting = client.blpop("jobs", 0);
  await other.rpush("jobs", "one");
  assert.deepEqual(await waiting, ["jobs", "one"]);

  // Messages arrive in order.
  const subscriber = client.duplicate();
  const heard = [];
  const complete = new Promise((resolve) => {
    subscriber.on("message", (_, message) => heard.push(message) === 500 && resolve());
  });
  await subscriber.subscribe("news");
  for (let number = 0; number < 500; number++) other.publish("news", number);
  await complete;
  assert.deepEqual(heard, Array.from({ length: 500 }, (_, number) => String(number)));

  // Keys beyond one page of SCAN.
  await other.mset(Object.fromEntries(Array.from({ length: 1000 }, (_, number) => [`page:${number}`, "1"])));
  const found = new Set();
  for await (const keys of client.scanStream({ match: "page:*" })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 1000);

  // quit() is answered, and only then does the connection end.
  assert.deepEqual(await Promise.all([client, other, subscriber].map((one) => one.quit())), ["OK", "OK", "OK"]);
}

await exercise(2);
await exercise(3);
