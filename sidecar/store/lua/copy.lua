-- copy: copies one piece of a memory's entries, ids and all, to another stream of the flush (or undo) under way: what
-- goes is set aside, and a log that is to lose or regain much is made anew beside the old one. The next script that
-- commits then only swaps names, whatever the memory's size.
--
-- KEYS  1 meta   2 work   3 aside   4 brief   5 next   6 log   7 undo
-- ARGV  1 run id, 2 epoch, 3 fence
--       4 lease in ms, 5 how long the work is kept, in ms, both from now
--       6 number of the key that is copied to
--       7 most entries to look at, 8 most bytes of them; the piece ends with the step that passes it
--       9 '1' to begin anew, with an empty stream
--       10 … triples: number of the key that is copied from, first and last id as XRANGE takes them; in the order of the
--       ids. A negative number: only entries whose ids are in the log, too.
-- Returns an array whose first element is one of
--   'copied'       how many of the triples are done, the last id looked at of the next one or '', the tokens of the
--                  entries looked at
--   'stale-epoch'  the memory is gone, or cleared since the begin
--   'stale-fence'  a later flush has begun, this one was given up, or messages went by another hand
-- With the last two nothing was changed.
--
-- Atomic because a run that was overtaken must not write into the streams of the one that took over. A piece that is
-- sent twice adds nothing the second time: ids that the stream has passed are passed over.
-- Cost: O(entries looked at), about 5 µs each.

-- include: order
-- include: ids

local STEP = 50

local meta, log, into = KEYS[1], KEYS[6], KEYS[tonumber(ARGV[6])]
local most, most_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run')
if state[1] ~= ARGV[2] then return {'stale-epoch'} end
if state[2] ~= ARGV[3] or state[3] ~= ARGV[1] then return {'stale-fence'} end

if ARGV[9] == '1' then redis.call('UNLINK', into) end
local passed = last_id(into)
local seen, bytes, tokens = 0, 0, 0

local function take(entry, only_there)
  seen = seen + 1
  if only_there and not redis.call('XRANGE', log, entry[1], entry[1])[1] then return end
  tokens = tokens + (tonumber(entry[2][6]) or 0)
  for _, value in ipairs(entry[2]) do bytes = bytes + #value end
  if passed and not earlier(passed, entry[1]) then return end
  redis.call('XADD', into, entry[1], unpack(entry[2]))
  passed = nil
end

local finished, position, full = 0, '', false
for at = 10, #ARGV, 3 do
  local source, from = tonumber(ARGV[at]), ARGV[at + 1]
  repeat
    local step = math.min(STEP, most - seen)
    full = step <= 0 or bytes >= most_bytes
    if full then break end
    local page = redis.call('XRANGE', KEYS[math.abs(source)], from, ARGV[at + 2], 'COUNT', step)
    for _, entry in ipairs(page) do take(entry, source < 0) end
    if #page > 0 then
      position = page[#page][1]
      from = '(' .. position
    end
  until #page < step
  if full then break end
  finished, position = finished + 1, ''
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', meta, 'flush_until', string.format('%.0f', now + tonumber(ARGV[4])))
for at = 2, 5 do redis.call('PEXPIRE', KEYS[at], ARGV[5]) end
return {'copied', finished, position, tokens}
