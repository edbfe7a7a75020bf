-- lock: takes the lease on a memory, or extends it.
--
-- KEYS  1 meta   2 lock
-- ARGV  1 token   2 lease in ms   3 "acquire" or "renew"
-- Returns { 1, fence } when the token holds the lease now; { 0, ms left } while somebody else does;
--         { -1 } when a lease that is to be renewed is no longer held by this token.
-- Acquired twice by the same token (the command was sent again) it is one lease with one fence.
--
-- Atomic because between the look at the lease and its taking another one may take it.
-- The fence grows also where the memory, and the number of the last fence with it, has expired: it is never below the
-- time in µs. A lease on a memory that is never written leaves nothing behind: meta lives as long as the lease then.

local meta, lock = KEYS[1], KEYS[2]
local token, lease_ms = ARGV[1], tonumber(ARGV[2])

local holder = redis.call('GET', lock)
local state = redis.call('HMGET', meta, 'lock_fence', 'epoch')
local fence = tonumber(state[1] or 0)
if ARGV[3] == 'renew' and holder ~= token then return { -1 } end
if holder and holder ~= token then return { 0, math.max(1, redis.call('PTTL', lock)) } end

if not holder or fence == 0 then
  local clock = redis.call('TIME')
  fence = math.max(fence + 1, clock[1] * 1000000 + clock[2])
end
redis.call('SET', lock, token, 'PX', lease_ms)
redis.call('HSET', meta, 'lock_fence', string.format('%.0f', fence), 'locked', 1)
if not state[2] then redis.call('PEXPIRE', meta, math.max(lease_ms, redis.call('PTTL', meta))) end
return { 1, fence }
