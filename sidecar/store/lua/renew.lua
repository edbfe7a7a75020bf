-- renew: the sign of life of a running flush.
--
-- KEYS  1 meta   2 work   3 aside   4 brief   5 next
-- ARGV  1 run id, 2 epoch, 3 fence
--       4 lease in ms, from now
--       5 how long the staged work is kept, in ms
-- Returns 1, or 0 when the flush is no longer this run's: cleared, overtaken or given up.
--
-- Atomic because between the look at the fence and the extension another run may take over.

local meta = KEYS[1]

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run')
if state[1] ~= ARGV[2] or state[2] ~= ARGV[3] or state[3] ~= ARGV[1] then
  return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', meta, 'flush_until', string.format('%.0f', now + tonumber(ARGV[4])))
for at = 2, 5 do redis.call('PEXPIRE', KEYS[at], ARGV[5]) end
return 1
