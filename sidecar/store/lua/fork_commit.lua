-- fork_commit: makes a memory of what was gathered.
--
-- KEYS  1 gathered log   2 gathered meta   3 gathered keep   4 source meta
--       5 log   6 meta   7 keep   8 due   9 lock
-- ARGV  1 token of the lease on the target, "" = none, then nobody may hold one   2 the target's name (member of due)
--       3 ttl ms, 0 = none   4 threshold tokens   5 threshold messages, -1 = none
--       6 "", or what tells a memory that came from outside (gather) from all others: it has no source
-- Returns a string: "done <first id> <last id> <messages> <tokens> <none|due>"; "moved" when the source has lost
--       messages, or was replaced, since the snapshot; "not-empty" when the target has a content; "stale-lock" when the
--       lease is lost; "expired" when what was gathered, or a part of it, is gone. With the last four the target is as it
--       was, and what was gathered is dropped.
--
-- Atomic because nobody may see half a copy, and no append may come between the look at the target and the copy.
-- Sent twice it finds the target full: of this very copy, which it tells by the token, new with every lease; of a memory
-- from outside by what is in 6, as long as the target lives.
-- Cost: O(1); UNLINK frees what was gathered in the background.

-- include: ids
-- include: life

local gathered, gathered_meta, gathered_keep, source_meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local log, meta, keep, due, lock = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local token, ttl, limit_tokens, limit_messages = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local from_outside = ARGV[6] ~= ''
local made_by = from_outside and ARGV[6] or token

local function over(messages, tokens)
  return (limit_tokens >= 0 and tokens > limit_tokens) or (limit_messages >= 0 and messages > limit_messages)
end

local function done(messages, tokens, summary_tokens)
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  return string.format('done %s %s %.0f %.0f %s', first and first[1] or '-', last and last[1] or '-', messages, tokens,
    over(messages, tokens + summary_tokens) and 'due' or 'none')
end

local function refuse(why)
  redis.call('UNLINK', gathered, gathered_meta, gathered_keep)
  return why
end

local target = redis.call('HMGET', meta, 'messages', 'summary', 'epoch', 'forked_by', 'floor', 'tokens', 'summary_tokens',
  'watched')
if target[4] == made_by then return done(tonumber(target[1]), tonumber(target[6]), tonumber(target[7] or 0)) end
if (redis.call('GET', lock) or '') ~= token then return refuse('stale-lock') end
if tonumber(target[1] or 0) > 0 or target[2] then return refuse('not-empty') end
local copy = redis.call('HMGET', gathered_meta, 'messages', 'tokens', 'kept_messages', 'kept_tokens', 'encoding',
  'source_epoch', 'source_fence', 'source_run', 'summary', 'summary_tokens', 'summary_first', 'summary_last',
  'summary_messages')
-- A Redis that is full may have evicted one key and not the others.
if not copy[6] or redis.call('XLEN', gathered) ~= tonumber(copy[1])
    or redis.call('ZCARD', gathered_keep) ~= tonumber(copy[3]) then
  return refuse('expired')
end
local source = redis.call('HMGET', source_meta, 'epoch', 'fence', 'last_run')
if not from_outside and (source[1] ~= copy[6] or (source[2] or '') ~= copy[7] or (source[3] or '') ~= copy[8]) then
  return refuse('moved')
end
redis.call('ZCARD', due) -- a key of another type fails here, before the first write

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local messages, tokens, summary_tokens = tonumber(copy[1]), tonumber(copy[2]), tonumber(copy[10] or 0)
local floor = last_id(log) or target[5] -- of what was there earlier: new ids go on behind it, whatever the clock does
redis.call('UNLINK', log, keep)
if messages > 0 then
  redis.call('RENAME', gathered, log)
  if floor then redis.pcall('XSETID', log, floor) end -- refused where the copy's own ids are greater
else -- a summary alone; with an empty log the memory is found by a walk
  local id = floor or '0-1'
  redis.call('XADD', log, id, 'r', '')
  redis.call('XDEL', log, id)
end
if tonumber(copy[3]) > 0 then redis.call('RENAME', gathered_keep, keep) end
redis.call('UNLINK', gathered_meta)

local fields = { 'messages', messages, 'tokens', tokens, 'kept_messages', copy[3], 'kept_tokens', copy[4],
  'encoding', copy[5], 'created', now, 'updated', now, 'forked_by', made_by,
  'epoch', string.format('%.0f', math.max(clock[1] * 1000000 + clock[2], tonumber(target[3] or 0) + 1)) }
for at, field in ipairs({ 'summary', 'summary_tokens', 'summary_first', 'summary_last', 'summary_messages' }) do
  if copy[8 + at] then
    fields[#fields + 1] = field
    fields[#fields + 1] = copy[8 + at]
  end
end
local is_due = over(messages, tokens + summary_tokens)
if is_due then
  redis.call('ZADD', due, 'NX', now, ARGV[2])
  fields[#fields + 1] = 'generation'
  fields[#fields + 1] = 1
end
-- A flush of what was there earlier ends with it: the new epoch refuses its steps, and nobody waits for its lease.
redis.call('HDEL', meta, 'floor', 'summary_tokens', 'summary_first', 'summary_last', 'summary_messages', 'flush_run',
  'flush_until')
redis.call('HSET', meta, unpack(fields))
for _, key in ipairs({ log, meta, keep }) do
  if ttl > 0 then redis.call('PEXPIREAT', key, now + ttl) else redis.call('PERSIST', key) end
end
if ttl > 0 then redis.call('HSET', meta, 'ttl', ttl) end
if messages > 0 and tonumber(target[8] or 0) > now then wake(meta) end
return done(messages, tokens, summary_tokens)
