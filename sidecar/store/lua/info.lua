-- info: the state of one memory. One script, so that all of it is of one moment.
--
-- KEYS  1 log   2 meta   3 due   4 lock
-- ARGV  1 the memory's name (member of due)   2 '1': an error unless the user may remove messages
-- Returns { now ms, pttl of meta, score in due or "", first id or "", last id or "", 1 if somebody holds the lock,
--           value or "" of each of FIELDS }
-- Cost: O(1).

local FIELDS = { 'messages', 'tokens', 'summary_tokens', 'kept_tokens', 'epoch', 'encoding', 'flush_until',
  'last_status', 'last_flush', 'last_strategy', 'last_error' }

-- Removes nothing: no entry has this id. Redis looks at the user's rights first, in every version alike.
if ARGV[2] == '1' then redis.call('XDEL', KEYS[1], '0-0') end
local clock = redis.call('TIME')
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local reply = {
  clock[1] * 1000 + math.floor(clock[2] / 1000),
  redis.call('PTTL', KEYS[2]),
  redis.call('ZSCORE', KEYS[3], ARGV[1]) or '',
  first and first[1] or '',
  last and last[1] or '',
  redis.call('EXISTS', KEYS[4]),
}
for i, value in ipairs(redis.call('HMGET', KEYS[2], unpack(FIELDS))) do reply[6 + i] = value or '' end
return reply
