-- shorten: lays shortened forms of messages aside. They are made of the log's entries, with another content, other
-- tokens and other fields; what else an entry has, such as its class, stays.
--
-- KEYS  1 meta   2 work   3 aside   4 brief   5 next   6 log
-- ARGV  1 run id, 2 epoch, 3 fence
--       4 lease in ms, 5 how long the work is kept, in ms, both from now
--       6 '1' to begin anew, with an empty stream
--       7 … in the order of the ids, for each message: id, content, tokens, other fields as JSON or ''
-- Returns one of
--   'shortened'
--   'stale-epoch'  the memory is gone, or cleared since the begin
--   'stale-fence'  a later flush has begun, this one was given up, or messages went by another hand
-- With the last two nothing was changed. A message that is not in the log is passed over; the commit sees the gap.
--
-- Atomic for the same reason as `copy`, and as harmless when it is sent twice.
-- Cost: O(messages).

-- include: order
-- include: ids

local meta, brief, log = KEYS[1], KEYS[4], KEYS[6]

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run')
if state[1] ~= ARGV[2] then return 'stale-epoch' end
if state[2] ~= ARGV[3] or state[3] ~= ARGV[1] then return 'stale-fence' end

if ARGV[6] == '1' then redis.call('UNLINK', brief) end
local passed = last_id(brief)
for at = 7, #ARGV, 4 do
  local id, content, tokens, others = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local entry = redis.call('XRANGE', log, id, id)[1]
  if entry and not (passed and not earlier(passed, id)) then
    local role, class = entry[2][2], nil
    for field = 7, #entry[2], 2 do
      if entry[2][field] == 'k' then class = entry[2][field + 1] end
    end
    local form = {'r', role, 'c', content, 'n', tokens}
    if others ~= '' then
      form[7], form[8] = 'x', others
    end
    if class then
      form[#form + 1] = 'k'
      form[#form + 1] = class
    end
    redis.call('XADD', brief, id, unpack(form))
    passed = nil
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', meta, 'flush_until', string.format('%.0f', now + tonumber(ARGV[4])))
for at = 2, 5 do redis.call('PEXPIRE', KEYS[at], ARGV[5]) end
return 'shortened'
