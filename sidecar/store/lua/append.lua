-- append: stores one batch of appends to one memory: messages, totals, life time, and the mark that a flush is due.
-- The whole promise of MEMAPPEND rests on this being one script: no update is lost, nothing is half stored, a batch
-- that is sent twice (the connection broke before the reply) is stored once, and the mark cannot be forgotten.
--
-- KEYS  1 log   2 meta   3 keep   4 due
-- ARGV  1 op field ("op:<sidecar id>")   2 number of this batch, strictly increasing per sidecar
--       3 the memory's name (member of due)   4 ttl ms, 0 = none
--       5 threshold tokens   6 threshold messages, -1 = none   7 encoding of the counts   8 requests in the batch
--       then per request: number of messages, and per message: role, content, tokens, other fields as JSON or ""
-- Returns one string, which is also what is kept for a resend:
--       "<none|due|running> <1 if newly marked> <first id> <last id> <messages> <tokens> [<first id> …]"
--       the last four for each request, the totals as they were right after it;
--       or "encoding <name>": the memory was counted with another encoding, nothing was stored.
--       An error means the same: keys of another type are found before the first write.
-- Cost: O(messages of the batch). Once per sidecar and memory, also O(sidecars that ever wrote to it).

local log, meta, keep, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local op, number = ARGV[1], ARGV[2]
local ttl, limit_tokens, limit_messages = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FORGET_MS = 3600000 -- an operation is resent within seconds; after an hour nobody will

local stored, before
local state = redis.call('HMGET', meta, op, 'encoding', 'messages', 'tokens', 'summary_tokens', 'generation',
  'flush_until', 'kept_messages', 'kept_tokens')
if state[1] then
  stored, before = string.match(state[1], '^(%d+):%d+:(.*)$')
  if stored == number then return before end
end
if state[2] and state[2] ~= ARGV[7] then return 'encoding ' .. state[2] end
-- A batch that was given up, and arrives when a later one is stored: storing it would hide that one's number.
if stored and tonumber(stored) > tonumber(number) then
  return redis.error_reply('ERR batch ' .. number .. ' comes after batch ' .. stored .. '; nothing was stored')
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local messages, tokens = tonumber(state[3] or 0), tonumber(state[4] or 0)

-- All is computed and checked before the first write: an error in the middle would not undo what is written already.
local requests, totals, result = tonumber(ARGV[8]), {}, {}
local kept_messages, kept_tokens = 0, 0
local at = 9
for request = 1, requests do
  local count = tonumber(ARGV[at])
  for message = at + 1, at + 4 * count, 4 do
    local role, weight = ARGV[message], tonumber(ARGV[message + 2])
    tokens = tokens + weight
    if role == 'system' or role == 'developer' then
      kept_messages, kept_tokens = kept_messages + 1, kept_tokens + weight
    end
  end
  messages = messages + count
  totals[request] = string.format('%.0f %.0f', messages, tokens)
  at = at + 1 + 4 * count
end
local over = (limit_tokens >= 0 and tokens + tonumber(state[5] or 0) > limit_tokens)
  or (limit_messages >= 0 and messages > limit_messages)

-- A key of another type fails here. The log's own check is its first XADD, the first write.
if kept_messages > 0 then redis.call('ZCARD', keep) end
if over then redis.call('ZCARD', due) end

at = 9
for request = 1, requests do
  local first, last
  local count = tonumber(ARGV[at])
  for message = at + 1, at + 4 * count, 4 do
    local role, fields = ARGV[message], ARGV[message + 3]
    if fields == '' then
      last = redis.call('XADD', log, '*', 'r', role, 'c', ARGV[message + 1], 'n', ARGV[message + 2])
    else
      last = redis.call('XADD', log, '*', 'r', role, 'c', ARGV[message + 1], 'n', ARGV[message + 2], 'x', fields)
    end
    first = first or last
    if role == 'system' or role == 'developer' then
      redis.call('ZADD', keep, string.match(last, '^%d+'), last)
    end
  end
  result[request] = first .. ' ' .. last .. ' ' .. totals[request]
  at = at + 1 + 4 * count
end

local running = tonumber(state[7] or 0) > now
local marked = 0
if over then marked = redis.call('ZADD', due, 'NX', now, ARGV[3]) end
local head = (running and 'running') or (over and 'due') or 'none'
local reply = head .. ' ' .. marked .. ' ' .. table.concat(result, ' ')

local updates = { 'messages', messages, 'tokens', tokens, 'updated', now, op, number .. ':' .. now .. ':' .. reply }
if not state[2] then
  redis.call('HSET', meta, 'encoding', ARGV[7], 'created', now, 'epoch',
    string.format('%.0f', clock[1] * 1000000 + clock[2]))
elseif not state[1] then
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    if string.sub(field, 1, 3) == 'op:' then
      local at_ms = string.match(redis.call('HGET', meta, field), '^%d+:(%d+):')
      if now - tonumber(at_ms or 0) > FORGET_MS then redis.call('HDEL', meta, field) end
    end
  end
end
if over then
  updates[#updates + 1] = 'generation'
  updates[#updates + 1] = tonumber(state[6] or 0) + 1
end
if kept_messages > 0 then
  updates[#updates + 1] = 'kept_messages'
  updates[#updates + 1] = tonumber(state[8] or 0) + kept_messages
  updates[#updates + 1] = 'kept_tokens'
  updates[#updates + 1] = tonumber(state[9] or 0) + kept_tokens
end
redis.call('HSET', meta, unpack(updates))
if ttl > 0 then -- one moment for all: a log that ends a millisecond before its totals would leave them wrong
  redis.call('PEXPIREAT', log, now + ttl)
  redis.call('PEXPIREAT', meta, now + ttl)
  redis.call('PEXPIREAT', keep, now + ttl)
end
return reply
