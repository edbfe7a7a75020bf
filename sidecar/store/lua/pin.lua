-- pin: pins messages, or no longer. A pinned message is part of every budgeted read and is never removed by a flush.
--
-- KEYS  1 log   2 meta   3 keep
-- ARGV  1 op field   2 number of this change   3 1: pin, 0: no longer   4 … ids
-- Returns a string: the number of messages for which that changed something. Ids that are not there count nothing, and
-- neither do instructions (system, developer), which are always kept.
-- Cost: O(ids).

-- include: repeats
-- include: forgetting

local log, meta, keep = KEYS[1], KEYS[2], KEYS[3]
local op, number, pins = ARGV[1], ARGV[2], ARGV[3] == '1'

local state = redis.call('HMGET', meta, op, 'kept_messages', 'kept_tokens', 'epoch')
local before, refused = earlier_reply(state[1], number)
if before then return before end
if refused then return refused end
if not state[4] then return '0' end

local changed, tokens = 0, 0
for at = 4, #ARGV do
  local entry = redis.call('XRANGE', log, ARGV[at], ARGV[at])[1]
  local role = entry and entry[2][2]
  if entry and role ~= 'system' and role ~= 'developer' then
    local id, done = entry[1], nil
    if pins then
      done = redis.call('ZADD', keep, 'NX', string.match(id, '^%d+'), id)
    else
      done = redis.call('ZREM', keep, id)
    end
    changed = changed + done
    tokens = tokens + done * (tonumber(entry[2][6]) or 0) -- 0: somebody made the entry by hand
  end
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local sign = pins and 1 or -1
redis.call('HSET', meta, op, number .. ':' .. now .. ':' .. changed,
  'kept_messages', tonumber(state[2] or 0) + sign * changed, 'kept_tokens', tonumber(state[3] or 0) + sign * tokens)
if not state[1] then forget_others(meta, now) end
local life = redis.call('PTTL', meta) -- keep may be new: it lives as long as the rest
if life > 0 then redis.call('PEXPIRE', keep, life) end
return tostring(changed)
