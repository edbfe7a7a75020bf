-- delete: deletes single messages (MEMDEL), and with `pairs` what belongs to the same tool call.
--
-- KEYS  1 log   2 meta   3 keep   4 due   5 lock
-- ARGV  1 op field   2 number of this change   3 the memory's name (member of due)
--       4 token of the lease, "" = none   5 1: tool calls and their results go together
--       6 threshold tokens   7 threshold messages, -1 = none   8 … ids
-- Returns a string: the number of messages that went; or "locked <ms left>", "stale-lock", and nothing was deleted.
-- Ids that are not there count nothing. Instructions and pinned messages go like any other: whoever names a message
-- means it.
-- Cost: O(ids), and O(UNIT_REACH) for each tool message with `pairs`.

-- include: repeats
-- include: forgetting
-- include: lease
-- include: removal
-- include: units

local log, meta, keep, due, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local op, number, name, pairs_too = ARGV[1], ARGV[2], ARGV[3], ARGV[5] == '1'
local limit_tokens, limit_messages = tonumber(ARGV[6]), tonumber(ARGV[7])

local state = redis.call('HMGET', meta, op, 'locked', 'flush_run', 'messages', 'tokens', 'summary_tokens',
  'kept_messages', 'kept_tokens', 'epoch')
local before, refused = earlier_reply(state[1], number)
if before then return before end
if refused then return refused end
local refusal = lease_refusal(lock, meta, state[2] or not state[9], ARGV[4])
if refusal then return refusal end
if not state[9] then return '0' end

local going, counted, tokens, kept, kept_tokens, seen = {}, 0, 0, {}, 0, {}
for at = 8, #ARGV do
  local entry = redis.call('XRANGE', log, ARGV[at], ARGV[at])[1]
  if entry and not seen[entry[1]] then
    for _, each in ipairs(pairs_too and unit_of(log, entry) or { entry }) do
      if not seen[each[1]] then
        seen[each[1]] = true
        going[#going + 1] = each[1]
        local weight = tonumber(each[2][6])
        if weight then counted = counted + 1 end -- the totals know nothing of an entry that somebody made by hand
        tokens = tokens + (weight or 0)
        if redis.call('ZSCORE', keep, each[1]) then
          kept[#kept + 1] = each[1]
          kept_tokens = kept_tokens + (weight or 0)
        end
      end
    end
  end
end
redis.call('ZCARD', due) -- a key of another type fails here, before the first write

for _, id in ipairs(going) do redis.call('XDEL', log, id) end
for _, id in ipairs(kept) do redis.call('ZREM', keep, id) end
if #going > 0 then overtake_flush(meta, state[3]) end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local messages, total = tonumber(state[4] or 0) - counted, tonumber(state[5] or 0) - tokens
local reply = tostring(#going)
redis.call('HSET', meta, 'messages', messages, 'tokens', total, 'updated', now, op, number .. ':' .. now .. ':' .. reply,
  'kept_messages', tonumber(state[7] or 0) - #kept, 'kept_tokens', tonumber(state[8] or 0) - kept_tokens)
if not state[1] then forget_others(meta, now) end
if (limit_tokens < 0 or total + tonumber(state[6] or 0) <= limit_tokens)
    and (limit_messages < 0 or messages <= limit_messages) then
  redis.call('ZREM', due, name)
end
return reply
