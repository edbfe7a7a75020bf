-- undo_begin: takes the right to put back what the last flush took. A flush under way loses its fence, as by any other
-- hand that changes what it has planned on; its mark stays, and it is tried again.
--
-- KEYS  1 meta   2 undo   3 was
-- ARGV  1 run id, beginning with "undo:"
--       2 lease in ms
--       3 how long undo and was are kept at least, in ms
-- Returns an array whose first element is one of
--   'begun'    epoch, fence, the plan of the flush as JSON
--   'done'     messages put back, then messages, tokens and summary tokens: this run has ended before
--   'busy'     another undo is under way
--   'nothing'  no flush has taken anything, it is too long ago, or the memory was emptied or undone since
--
-- Atomic because two that begin at once must not both get the lease.
-- Cost: O(1), and the size of the plan.

local meta, undo, was = KEYS[1], KEYS[2], KEYS[3]
local run = ARGV[1]

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run', 'flush_until', 'undone_run', 'undone_messages',
  'messages', 'tokens', 'summary_tokens')
if state[5] == run then
  return {'done', tonumber(state[6]), tonumber(state[7]), tonumber(state[8]), tonumber(state[9] or 0)}
end
local old = redis.call('HMGET', was, 'epoch', 'plan')
if not state[1] or old[1] ~= state[1] or redis.call('EXISTS', undo) == 0 then return {'nothing'} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fence = state[2]
if state[3] ~= run then
  if state[3] and string.sub(state[3], 1, 5) == 'undo:' and tonumber(state[4] or 0) > now then return {'busy'} end
  fence = redis.call('HINCRBY', meta, 'fence', 1)
end
redis.call('HSET', meta, 'flush_run', run, 'flush_until', string.format('%.0f', now + tonumber(ARGV[2])))
for at = 2, 3 do
  if redis.call('PTTL', KEYS[at]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[at], ARGV[3]) end
end
return {'begun', state[1], fence, old[2]}
