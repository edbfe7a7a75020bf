-- gather: adds one page of a memory that comes from outside to where it is gathered, as fork_copy does for one that is here.
--
-- KEYS  1 gathered log   2 gathered meta   3 gathered keep
-- ARGV  1 messages that must have been gathered before this page   2 digest of all messages up to its end
--       3 encoding of the counts   4 ms that what is gathered is kept
--       then per message: id, role, content, tokens, other fields as JSON or "", 1 if it is pinned; tokens may be
--       followed by " <class>", or " !<class>" for a critical one, as in append
-- Returns { messages gathered, digest }. They are not the caller's where somebody else gathers the same: nothing was
--       written then.
--
-- Safe to send twice: the second time the page is there, and nothing is written. One script so that the sums are those
-- of the messages, whenever the caller ends.
-- Cost: O(messages of the page).

local log, meta, keep = KEYS[1], KEYS[2], KEYS[3]
local kept_ms = tonumber(ARGV[4])

local state = redis.call('HMGET', meta, 'messages', 'tokens', 'kept_messages', 'kept_tokens', 'digest')
local messages, tokens = tonumber(state[1] or 0), tonumber(state[2] or 0)
local kept_messages, kept_tokens = tonumber(state[3] or 0), tonumber(state[4] or 0)
if messages ~= tonumber(ARGV[1]) then return { messages, state[5] or '' } end

for at = 5, #ARGV, 6 do
  local id, role, content, shown, fields, pinned = unpack(ARGV, at, at + 5)
  local weight, class, critical = tonumber(shown), nil, ''
  if not weight then
    shown, critical, class = string.match(shown, '^(%d+) (!?)(.*)$')
    weight = tonumber(shown)
  end
  local entry = { 'r', role, 'c', content, 'n', shown }
  if fields ~= '' then
    entry[#entry + 1], entry[#entry + 2] = 'x', fields
  end
  if class then
    entry[#entry + 1], entry[#entry + 2] = 'k', class
  end
  redis.call('XADD', log, id, unpack(entry))
  messages, tokens = messages + 1, tokens + weight
  if pinned == '1' or critical == '!' or role == 'system' or role == 'developer' then
    redis.call('ZADD', keep, string.match(id, '^%d+'), id)
    kept_messages, kept_tokens = kept_messages + 1, kept_tokens + weight
  end
end

redis.call('HSET', meta, 'messages', messages, 'tokens', tokens, 'kept_messages', kept_messages,
  'kept_tokens', kept_tokens, 'digest', ARGV[2], 'encoding', ARGV[3], 'source_epoch', '-')
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + kept_ms
for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ends) end -- one moment for all, as in fork_copy
return { messages, ARGV[2] }
