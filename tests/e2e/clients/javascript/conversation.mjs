// One conversation, read from a file, with ioredis or node-redis in both protocols: every reply must be the file's.
// Arguments: which client, the port of the sidecar, the file (see `tests/e2e/dialogue.py` for what stands in it).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import Redis from "ioredis";
import { createClient } from "redis";

const [name, port, file] = process.argv.slice(2);

// What a <name> may stand for: its type, and its form as text.
const FORMS = { id: ["string", /^\d+-\d+$/], number: ["number", /^\d+$/], text: ["string", /^.+$/] };
const NAME = /<(id|number|text|key)((?:-[a-z0-9]+)?)>/g;

class Rehearsal {
  constructor(protocol, key) {
    this.protocol = protocol;
    this.known = new Map([["key", key]]);
  }

  filled(word) {
    return word.replace(NAME, (whole, form, rest) => this.known.get(form + rest) ?? whole);
  }

  // Returns what must come, with everything filled in that `got` may say.
  met(wanted, got) {
    if (typeof wanted === "string") {
      const [found] = wanted.matchAll(NAME);
      if (found?.[0] !== wanted) return this.filled(wanted);
      const [, form, rest] = found;
      const [type, text] = FORMS[form] ?? [];
      if (!this.known.has(form + rest) && typeof got === type && text.test(String(got))) {
        if (!rest) return got;
        this.known.set(form + rest, got);
      }
      return this.known.get(form + rest) ?? wanted;
    }
    if (Array.isArray(wanted)) return wanted.map((each, at) => this.met(each, got?.[at]));
    if (wanted === null || typeof wanted !== "object") return wanted;
    return Object.fromEntries(Object.entries(wanted).map(([field, each]) => [field, this.met(each, got?.[field])]));
  }

  check({ send, reply, error }, got) {
    if (error !== undefined) {
      assert.ok(got instanceof Error, `${send}: ${JSON.stringify(got)} instead of an error`);
      assert.equal(got.message.slice(0, error.length), error);
      return;
    }
    if (got instanceof Error) throw got;
    const plain = plainly(got);
    assert.deepEqual(plain, this.met(this.protocol === 3 ? reply : inResp2(reply), plain), send.join(" "));
  }
}

// Maps are flat arrays, booleans are 0 or 1, doubles are text.
function inResp2(reply) {
  if (typeof reply === "boolean") return Number(reply);
  if (typeof reply === "number" && !Number.isInteger(reply)) return String(reply);
  if (Array.isArray(reply)) return reply.map(inResp2);
  if (reply === null || typeof reply !== "object") return reply;
  return Object.entries(reply).flat().map(inResp2);
}

// Clients make objects of maps that have no prototype.
function plainly(reply) {
  if (Array.isArray(reply)) return reply.map(plainly);
  if (reply === null || typeof reply !== "object") return reply;
  return Object.fromEntries(Object.entries(reply).map(([field, each]) => [field, plainly(each)]));
}

async function connect(protocol) {
  if (name === "ioredis") {
    // Unless asked otherwise, ioredis gives replies in the shapes of RESP2 on RESP3 too.
    const replyMapping = protocol === 3 ? "resp3" : "legacy";
    const client = new Redis({ port: Number(port), protocol, replyMapping, maxRetriesPerRequest: 1 });
    return [(words) => client.call(...words), () => client.quit()];
  }
  const client = await createClient({ url: `redis://127.0.0.1:${port}`, RESP: protocol }).connect();
  return [(words) => client.sendCommand(words), () => client.close()];
}

for (const protocol of [2, 3]) {
  const [ask, close] = await connect(protocol);
  const rehearsal = new Rehearsal(protocol, `${name}-${protocol}`);
  for (const step of JSON.parse(readFileSync(file, "utf8"))) {
    const words = step.send.map((word) => rehearsal.filled(word));
    rehearsal.check(step, await ask(words).catch((problem) => problem));
  }
  await close();
}
