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
-- Cost: O(messages of the batch). Once per sidecar and memory, also O(sidecars that ever wrote to it).

local log, meta, keep, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local op, number = ARGV[1], ARGV[2]
local ttl, limit_tokens, limit_messages = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FORGET_MS = 3600000 -- an operation is resent within seconds; after an hour nobody will

local state = redis.call('HMGET', meta, op, 'encoding', 'messages', 'tokens', 'summary_tokens', 'generation',
  'flush_until', 'kept_messages', 'kept_tokens')
if state[1] then
  local stored, result = string.match(state[1], '^(%d+):%d+:(.*)$')
  if stored == number then return result end
end
if state[2] and state[2] ~= ARGV[7] then return 'encoding ' .. state[2] end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local messages, tokens = tonumber(state[3] or 0), tonumber(state[4] or 0)
local kept_messages, kept_tokens = 0, 0
local result = {}

local at = 9
for _ = 1, tonumber(ARGV[8]) do
  local first, last
  local count = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, count do
    local role, weight = ARGV[at], tonumber(ARGV[at + 2])
    if ARGV[at + 3] == '' then
      last = redis.call('XADD', log, '*', 'r', role, 'c', ARGV[at + 1], 'n', weight)
    else
      last = redis.call('XADD', log, '*', 'r', role, 'c', ARGV[at + 1], 'n', weight, 'x', ARGV[at + 3])
    end
    first = first or last
    tokens = tokens + weight
    if role == 'system' or role == 'developer' then
      redis.call('ZADD', keep, string.match(last, '^%d+'), last)
      kept_messages, kept_tokens = kept_messages + 1, kept_tokens + weight
    end
    at = at + 4
  end
  messages = messages + count
  result[#result + 1] = string.format('%s %s %.0f %.0f', first, last, messages, tokens)
end

local over = (limit_tokens >= 0 and tokens + tonumber(state[5] or 0) > limit_tokens)
  or (limit_messages >= 0 and messages > limit_messages)
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
      if now - tonumber(at_ms) > FORGET_MS then redis.call('HDEL', meta, field) end
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
if ttl > 0 then
  redis.call('PEXPIRE', log, ttl)
  redis.call('PEXPIRE', meta, ttl)
  redis.call('PEXPIRE', keep, ttl)
end
return reply
