-- fork_copy: copies one page of a memory to where a copy is gathered; the first page takes the snapshot.
--
-- KEYS  1 source log   2 source meta   3 source keep   4 gathered log   5 gathered meta   6 gathered keep
-- ARGV  1 copy up to and with this id, "" = to the newest one at the snapshot
--       2 most messages of a page   3 most bytes of a page   4 ms that what is gathered is kept
-- Returns 1 when all is there, 0 when there is more, -1 when the source has nothing to copy.
--
-- Safe to send twice: a page begins behind the last id that was gathered, and the sums are those of what is there.
-- A script so that texts stay inside Redis. On a cluster source and target would have to share a slot.
-- Cost: O(messages of the page).

local source, source_meta, source_keep = KEYS[1], KEYS[2], KEYS[3]
local log, meta, keep = KEYS[4], KEYS[5], KEYS[6]
local most, most_bytes, kept_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local STEP = 50

local sums = redis.call('HMGET', meta, 'until', 'last', 'messages', 'tokens', 'kept_messages', 'kept_tokens')
local until_id, last = sums[1], sums[2]
if not until_id then
  local state = redis.call('HMGET', source_meta, 'epoch', 'fence', 'encoding', 'summary', 'summary_tokens',
    'summary_first', 'summary_last', 'summary_messages', 'last_run')
  if not state[1] then return -1 end
  local newest = redis.call('XREVRANGE', source, ARGV[1] == '' and '+' or ARGV[1], '-', 'COUNT', 1)[1]
  if not newest and not state[4] then return -1 end
  redis.call('ZCARD', source_keep) -- a key of another type fails here, before the first write
  until_id = newest and newest[1] or '0-0'
  redis.call('HSET', meta, 'until', until_id, 'source_epoch', state[1], 'source_fence', state[2] or '',
    'source_run', state[9] or '', 'encoding', state[3])
  for at, field in ipairs({ 'summary', 'summary_tokens', 'summary_first', 'summary_last', 'summary_messages' }) do
    if state[at + 3] then redis.call('HSET', meta, field, state[at + 3]) end
  end
end

local messages, tokens = tonumber(sums[3] or 0), tonumber(sums[4] or 0)
local kept_messages, kept_tokens = tonumber(sums[5] or 0), tonumber(sums[6] or 0)
local copied, bytes, done = 0, 0, until_id == '0-0'
while not done and copied < most and bytes < most_bytes do
  local page = redis.call('XRANGE', source, last and ('(' .. last) or '-', until_id, 'COUNT', STEP)
  for _, entry in ipairs(page) do
    local id, pairs_ = entry[1], entry[2]
    local weight = tonumber(pairs_[6]) or 0 -- an entry that somebody made by hand is copied as it is
    redis.call('XADD', log, id, unpack(pairs_))
    for _, value in ipairs(pairs_) do bytes = bytes + #value end
    messages, tokens, last = messages + 1, tokens + weight, id
    if redis.call('ZSCORE', source_keep, id) then
      redis.call('ZADD', keep, string.match(id, '^%d+'), id)
      kept_messages, kept_tokens = kept_messages + 1, kept_tokens + weight
    end
  end
  copied = copied + #page
  done = #page < STEP
end

redis.call('HSET', meta, 'messages', messages, 'tokens', tokens, 'kept_messages', kept_messages,
  'kept_tokens', kept_tokens)
if last then redis.call('HSET', meta, 'last', last) end
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + kept_ms
for at = 4, 6 do redis.call('PEXPIREAT', KEYS[at], ends) end -- one moment for all: sums without entries would be wrong
return done and 1 or 0
