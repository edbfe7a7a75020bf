-- begin: opens a flush of one memory and takes the snapshot that it will plan on.
--
-- KEYS  1 meta   2 log   3 due (outbox of the shard)
-- ARGV  1 run id
--       2 lease in ms: how long the run counts as alive without a sign of life
--       3 '1' to flush below the threshold too
--       4 token threshold, -1 for none
--       5 message threshold, -1 for none
--       6 name of the memory, its member in the outbox
--       7 tokens that this flush is to get down to, -1 for none: above them it is due, whatever the thresholds are
-- Returns an array whose first element is one of
--   'begun'    epoch, fence, generation, last id, messages, tokens, summary tokens, now in ms
--   'done'     the record of the last flush (see RECORD): this run has ended before; its begin came twice
--   'joined'   the run id of another run that holds an unexpired lease
--   'not-due'  messages, tokens: not above a threshold, the mark was taken out of the outbox; or not above the
--              target, and the mark stays if a threshold is passed
--   'empty'    there is no memory, or nothing in it; the mark was taken out of the outbox
--
-- Atomic because the snapshot (epoch, last id, totals) must be of one moment, because two runs that begin at
-- once must not both get the lease, and because between "not above the threshold" and the removal of the mark
-- no append may cross the threshold.
--
-- The TTL of the memory stays as it is: only bookkeeping is written here, into a hash that exists and keeps
-- its TTL. If begin extended it, a flush that fails again and again would keep an abandoned memory for ever.

local RECORD = {'last_run', 'last_status', 'last_strategy', 'last_error', 'last_removed', 'last_freed',
  'last_duration', 'last_summary_tokens', 'last_shortened', 'messages', 'tokens'}

local meta, log, due = KEYS[1], KEYS[2], KEYS[3]
local run, lease_ms, force, name = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[6]
local threshold_tokens, threshold_messages, target = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[7])

local state = redis.call('HMGET', meta, 'epoch', 'messages', 'tokens', 'summary_tokens', 'generation', 'fence',
  'flush_run', 'flush_until', 'last_run')
local epoch, holder, held_until, last_run = state[1], state[7], tonumber(state[8] or 0), state[9]
local messages, tokens = tonumber(state[2] or 0), tonumber(state[3] or 0)
local summary_tokens, generation = tonumber(state[4] or 0), state[5] or '0'
local marked = redis.call('ZSCORE', due, name)
local over = (threshold_tokens >= 0 and tokens + summary_tokens > threshold_tokens)
  or (threshold_messages >= 0 and messages > threshold_messages)

if epoch and last_run == run then
  local record = redis.call('HMGET', meta, unpack(RECORD))
  return {'done', (over and marked) and 1 or 0, unpack(record)}
end

local newest = epoch and redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
if not newest or #newest == 0 then
  redis.call('ZREM', due, name)
  return {'empty'}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if holder and holder ~= run and held_until > now then
  return {'joined', holder}
end
local wanted = over
if target >= 0 then wanted = tokens + summary_tokens > target end
if not force and not wanted then
  if not over then redis.call('ZREM', due, name) end
  return {'not-due', messages, tokens}
end

-- The same run keeps its fence: its begin was executed, and only the reply got lost.
local fence = state[6]
if holder ~= run or not fence then
  fence = redis.call('HINCRBY', meta, 'fence', 1)
end
redis.call('HSET', meta, 'flush_run', run, 'flush_until', string.format('%.0f', now + lease_ms))
return {'begun', epoch, fence, generation, newest[1][1], messages, tokens, summary_tokens,
  string.format('%.0f', now)}
