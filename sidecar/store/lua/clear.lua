-- clear: deletes a memory with everything that belongs to it, its place in the outbox included. One script, so that
-- no append can fall between the deletions and leave a log without totals.
--
-- KEYS  1 log   2 meta   3 keep   4 due   5 lock   6 … what else belongs to the memory's content
-- ARGV  1 the memory's name (member of due)   2 token of the lease, "" = none
--       3 ms that fences and the last id are remembered, 0 = not at all
-- Returns a string: the number of messages that were removed, 0 for a memory that does not exist; or
-- "locked <ms left>" or "stale-lock", and nothing was deleted.
-- A lease that is held stays held: it guards the memory's name, not its content. Whoever waits for a message waits on.
-- Cost: O(1) here; UNLINK frees the memory in the background.

-- include: lease
-- include: ids

local log, meta, keep, due, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local remembered_ms = tonumber(ARGV[3])

local state = redis.call('HMGET', meta, 'locked', 'lock_fence', 'fence', 'floor', 'epoch', 'watched')
local may_be_locked = state[1] or not state[5]
local refusal = lease_refusal(lock, meta, may_be_locked, ARGV[2])
if refusal then return refusal end

local removed = redis.call('XLEN', log)
local floor = remembered_ms > 0 and (last_id(log) or state[4]) -- the log may have been cleared before
redis.call('ZREM', due, ARGV[1]) -- first, because it fails on an outbox of another type; UNLINK never fails
redis.call('UNLINK', log, meta, keep, unpack(KEYS, 6))

local left = {}
local function keep_field(field, value)
  if value then
    left[#left + 1] = field
    left[#left + 1] = value
  end
end
local lease_ms = may_be_locked and redis.call('PTTL', lock) or -2
if lease_ms > 0 then
  keep_field('locked', 1)
  keep_field('lock_fence', state[2])
end
if remembered_ms > 0 then
  keep_field('lock_fence', state[2])
  keep_field('fence', state[3])
  keep_field('floor', floor)
end
local watched_ms = 0
if state[6] then
  local clock = redis.call('TIME')
  watched_ms = tonumber(state[6]) - clock[1] * 1000 - math.floor(clock[2] / 1000)
  if watched_ms > 0 then keep_field('watched', state[6]) end
end
if #left > 0 then
  redis.call('HSET', meta, unpack(left))
  redis.call('PEXPIRE', meta, math.max(remembered_ms, lease_ms, watched_ms))
end
return tostring(removed)
