-- undo_commit: puts the log that holds again what the last flush took in the place of the present one, and gives back
-- the summary that was.
--
-- KEYS  1 log   2 meta   3 keep   4 lock   5 next   6 undo   7 was
-- ARGV  1 run id, 2 epoch, 3 fence
--       4 last id that `next` covers
--       5 tokens of the entries in `next`
-- Returns an array whose first element is one of
--   'undone'       messages put back, then messages, tokens and summary tokens as they are now
--   'done'         the same, of this run's earlier commit: nothing was changed now
--   'behind'       so much was appended since that the rest is to be copied in pieces first
--   'stale-epoch'  the memory is gone, or cleared since the begin
--   'stale-fence'  a flush or another undo has begun, or messages went by another hand
--   'lost-plan'    what the flush took has expired meanwhile
--   'stale-plan'   the new log does not hold what it must; somebody has edited a stream itself
--   'locked'       ms left: somebody holds the lease on the memory, and what he reads must stay
-- With all but the first nothing of the memory was changed.
--
-- Atomic because readers must see either the messages or the summary that stands for them. Where the log was emptied
-- since the flush, message by message, the stream is there all the same.
-- Cost: O(1); UNLINK frees what is no longer needed in the background.

-- include: ids
-- include: swap

local log, meta, keep, lock, next_log, undo, was = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local run, cursor, tokens = ARGV[1], ARGV[4], tonumber(ARGV[5])
local BEFORE = {'summary', 'summary_tokens', 'summary_first', 'summary_last', 'summary_messages'}

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run', 'undone_run', 'undone_messages', 'messages',
  'tokens', 'summary_tokens')
if state[1] ~= ARGV[2] then return {'stale-epoch'} end
if state[4] == run then
  return {'done', tonumber(state[5]), tonumber(state[6]), tonumber(state[7]), tonumber(state[8] or 0)}
end
if state[2] ~= ARGV[3] or state[3] ~= run then return {'stale-fence'} end
local lease_ms = redis.call('PTTL', lock)
if lease_ms ~= -2 then return {'locked', math.max(1, lease_ms)} end

local removed = tonumber(redis.call('HGET', was, 'removed') or -1)
if removed < 0 or redis.call('EXISTS', undo, log) < 2 then return {'lost-plan'} end
local before = redis.call('HMGET', was, unpack(BEFORE))

local tail = copy_tail(log, next_log, cursor)
if not tail then return {'behind'} end
local messages = redis.call('XLEN', next_log)
if messages == 0 or messages ~= redis.call('XLEN', log) + removed then
  return {'stale-plan'}
end

swap(log, next_log, meta, keep)
redis.call('HDEL', meta, 'flush_run', 'flush_until', unpack(BEFORE))
for at, field in ipairs(BEFORE) do
  if before[at] then redis.call('HSET', meta, field, before[at]) end
end
redis.call('HSET', meta, 'messages', messages, 'tokens', tokens + tail, 'undone_run', run, 'undone_messages', removed)
redis.call('UNLINK', undo, was)
return {'undone', removed, messages, tokens + tail, tonumber(before[2] or 0)}
