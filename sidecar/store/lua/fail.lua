-- fail: records that a flush was given up. The memory, the mark in the outbox and the TTL stay as they are.
--
-- KEYS  1 meta   2 work   3 aside   4 brief   5 next
-- ARGV  1 run id, 2 epoch, 3 fence, 4 time in ms that begin returned
--       5 strategy
--       6 what went wrong, in one line
-- Returns the duration of the flush in ms, or -1 when it was no longer this run's to give up.
--
-- Atomic because between the look at the fence and the release of the lease another run may take over.

local meta, work = KEYS[1], KEYS[2]
local run = ARGV[1]

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run')
if state[1] ~= ARGV[2] or state[2] ~= ARGV[3] or state[3] ~= run then
  return -1
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local duration = math.max(0, now - tonumber(ARGV[4]))
redis.call('HDEL', meta, 'flush_run', 'flush_until')
redis.call('HSET', meta, 'last_run', run, 'last_status', 'failed', 'last_error', ARGV[6],
  'last_flush', string.format('%.0f', now), 'last_strategy', ARGV[5], 'last_removed', 0, 'last_freed', 0, 'last_shortened', 0,
  'last_duration', string.format('%.0f', duration), 'last_summary_tokens', 0)
if redis.call('HGET', work, 'run') == run then
  redis.call('UNLINK', work, KEYS[3], KEYS[4], KEYS[5])
end
return duration
