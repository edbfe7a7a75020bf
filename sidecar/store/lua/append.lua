-- append: stores one batch of appends to one memory, or the one MEMWRITE that replaces it: messages, totals, life time,
-- and the mark that a flush is due. The whole promise of MEMAPPEND rests on this being one script: no update is lost,
-- nothing is half stored, a batch that is sent twice (the connection broke before the reply) is stored once, an append
-- that its caller sends twice (IDEMPOTENT) is stored once, and the mark cannot be forgotten.
--
-- KEYS  1 log   2 meta   3 keep   4 due   5 lock   6 … one per request that has an idempotency token
-- ARGV  1 op field ("op:<sidecar id>")   2 number of this batch, strictly increasing per sidecar
--       3 the memory's name (member of due)   4 ttl ms, 0 = none
--       5 threshold tokens   6 threshold messages, -1 = none   7 encoding of the counts
--       8 token of the lease, "" = none   9 most tokens   10 most messages, -1 = no hard limit
--       11 1: the oldest messages make room, 0: what is above a hard limit is refused
--       12 ms that idempotency tokens are kept   13 1: replace everything that is there   14 requests in the batch
--       then per request: 1 if it has an idempotency token, number of messages, and per message: role, content, tokens,
--       other fields as JSON or ""; tokens may be followed by " <class>", or " !<class>" for a critical one
-- Returns one string, which is also what is kept for a resend:
--       "<none|due|running> <1 if newly marked> [<group> …]" with a group for each request, which is one of
--         <first id> <last id> <messages> <tokens>   stored; the totals as they were right after it; ids "-" if empty
--         again <first id> <last id> <appended> <messages> <tokens> <none|due|running>   the first reply to its token
--         over <messages> <tokens>   refused, above a hard limit; the totals that there are
--       or "encoding <name>": the memory was counted with another encoding;
--       or "locked <ms left>", "stale-lock": somebody else's lease, or none. With these three nothing was stored.
--       An error means the same: keys of another type are found before the first write.
-- Cost: O(messages of the batch, and those that make room). Once per sidecar and memory, also O(sidecars that wrote).

-- include: repeats
-- include: lease
-- include: removal
-- include: units
-- include: room
-- include: ids
-- include: life

local log, meta, keep, due, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local op, number, name, encoding = ARGV[1], ARGV[2], ARGV[3], ARGV[7]
local ttl, limit_tokens, limit_messages = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local most_tokens, most_messages, trims = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'
local replaces, requests = ARGV[13] == '1', tonumber(ARGV[14])

local state = redis.call('HMGET', meta, op, 'encoding', 'messages', 'tokens', 'summary_tokens', 'generation',
  'flush_until', 'kept_messages', 'kept_tokens', 'locked', 'watched', 'ttl', 'flush_run', 'epoch', 'floor')
local before, refused = earlier_reply(state[1], number)
if before then return before end
if refused then return refused end

-- The replies that idempotency tokens have had already. Alone in its batch, a repetition needs no lease.
local repeated = {}
for at = 6, #KEYS do repeated[at] = redis.call('GET', KEYS[at]) end
local refusal = lease_refusal(lock, meta, state[10], ARGV[8])
if refusal and not (requests == 1 and repeated[6]) then return refusal end
if state[2] and state[2] ~= encoding and not replaces then return 'encoding ' .. state[2] end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local is_new = not state[2]
local floor = state[15] -- last id of what was cleared: ids go on behind it, whatever the clock does
local messages, tokens = tonumber(state[3] or 0), tonumber(state[4] or 0)
local summary_tokens, generation = tonumber(state[5] or 0), tonumber(state[6] or 0)
local kept_messages, kept_tokens = tonumber(state[8] or 0), tonumber(state[9] or 0)
local flush_until, flush_run = tonumber(state[7] or 0), state[13]
local stored = 0

-- Keys of another type fail here, before the first write.
redis.call('XLEN', log)
redis.call('ZCARD', keep)
redis.call('ZCARD', due)

-- Returns the tokens of a message, its class or nil, and whether that is a critical one.
local function weigh(at)
  local weight = tonumber(ARGV[at])
  if weight then return weight end
  local shown, critical, class = string.match(ARGV[at], '^(%d+) (!?)(.*)$')
  return tonumber(shown), class, critical == '!'
end

local function sum_of(at, count)
  local sum = 0
  for message = at, at + 4 * count - 1, 4 do sum = sum + (weigh(message + 2)) end
  return sum
end

-- Returns by how many messages and tokens totals would be above the hard limits.
local function excess(messages_then, tokens_then)
  return math.max(0, most_messages >= 0 and messages_then - most_messages or 0),
    math.max(0, most_tokens >= 0 and tokens_then - most_tokens or 0)
end

local function overtake()
  overtake_flush(meta, flush_run)
  flush_run, flush_until = nil, 0
end

-- Whether a request may be stored; makes room for it where that is wanted.
local function fits(count, weight)
  if count == 0 then return true end
  if replaces then
    local many, long = excess(count, weight)
    return many + long == 0
  end
  local many, long = excess(messages + count, tokens + summary_tokens + weight)
  if many + long == 0 then return true end
  local ids, gone, freed
  if trims then ids, gone, freed = oldest_for(log, keep, many, long) end
  if not ids then return false end
  delete_entries(log, ids)
  messages, tokens = messages - gone, tokens - freed
  overtake()
  return true
end

-- Empties the memory for a MEMWRITE. What is not its content stays: fences, leases, numbers of sidecars.
local function empty()
  if not is_new then floor = last_id(log) or floor end
  redis.call('UNLINK', log, keep, (string.gsub(log, ':log:', ':work:', 1)))
  redis.call('HDEL', meta, 'encoding', 'summary', 'summary_tokens', 'summary_first', 'summary_last',
    'summary_messages', 'kept_messages', 'kept_tokens', 'generation')
  redis.call('HSET', meta, 'messages', 0, 'tokens', 0)
  redis.call('ZREM', due, name)
  overtake()
  is_new = true
  messages, tokens, summary_tokens, kept_messages, kept_tokens, generation = 0, 0, 0, 0, 0, 0
end

-- Returns the id of the next entry: the clock's, unless that stands before what was here earlier.
local function next_id()
  if not floor then return '*' end
  local id = id_behind(floor, now)
  floor = nil -- from the first entry on the stream itself sees to it
  return id
end

local function store(at, count)
  local first, last
  for message = at, at + 4 * count - 1, 4 do
    local role, content, fields = ARGV[message], ARGV[message + 1], ARGV[message + 3]
    local weight, class, critical = weigh(message + 2)
    if class then
      local shown = string.format('%.0f', weight)
      if fields == '' then
        last = redis.call('XADD', log, next_id(), 'r', role, 'c', content, 'n', shown, 'k', class)
      else
        last = redis.call('XADD', log, next_id(), 'r', role, 'c', content, 'n', shown, 'x', fields, 'k', class)
      end
    elseif fields == '' then
      last = redis.call('XADD', log, next_id(), 'r', role, 'c', content, 'n', ARGV[message + 2])
    else
      last = redis.call('XADD', log, next_id(), 'r', role, 'c', content, 'n', ARGV[message + 2], 'x', fields)
    end
    first = first or last
    if critical or role == 'system' or role == 'developer' then
      redis.call('ZADD', keep, string.match(last, '^%d+'), last)
      kept_messages, kept_tokens = kept_messages + 1, kept_tokens + weight
    end
    messages, tokens = messages + 1, tokens + weight
  end
  stored = stored + count
  return string.format('%s %s', first or '-', last or '-')
end

local groups, first_replies, at, idem = {}, {}, 15, 6
for request = 1, requests do
  local key, count = nil, tonumber(ARGV[at + 1])
  if ARGV[at] == '1' then key, idem = idem, idem + 1 end
  if key and repeated[key] then
    groups[request] = 'again ' .. repeated[key]
  elseif not fits(count, sum_of(at + 2, count)) then
    groups[request] = string.format('over %.0f %.0f', messages, tokens)
  else
    if replaces then empty() end
    local ids = store(at + 2, count)
    groups[request] = string.format('%s %.0f %.0f', ids, messages, tokens)
    if key then first_replies[key] = string.format('%s %.0f %.0f %.0f', ids, count, messages, tokens) end
  end
  at = at + 2 + 4 * count
end

local over = (limit_tokens >= 0 and tokens + summary_tokens > limit_tokens)
  or (limit_messages >= 0 and messages > limit_messages)
local head = (flush_until > now and 'running') or (over and 'due') or 'none'
for key, reply in pairs(first_replies) do
  redis.call('SET', KEYS[key], reply .. ' ' .. head, 'PX', ARGV[12])
end
if stored == 0 and not state[2] then return head .. ' 0 ' .. table.concat(groups, ' ') end -- there is no memory yet

local marked = 0
if over and stored > 0 then marked = redis.call('ZADD', due, 'NX', now, name) end
local reply = head .. ' ' .. marked .. ' ' .. table.concat(groups, ' ')
local updates = { 'messages', messages, 'tokens', tokens, 'updated', now, op, op_value(number, now, reply) }
local function update(field, value)
  updates[#updates + 1] = field
  updates[#updates + 1] = value
end
if is_new then
  update('encoding', encoding)
  update('created', now)
  update('epoch', string.format('%.0f', math.max(clock[1] * 1000000 + clock[2], tonumber(state[14] or 0) + 1)))
  if state[15] then redis.call('HDEL', meta, 'floor') end
  if ttl == 0 then redis.call('PERSIST', meta) end -- of a lease or a waiting reader that came before the memory
elseif not state[1] then
  forget_others(meta, now)
end
if over and stored > 0 then update('generation', generation + 1) end
if kept_messages > 0 then
  update('kept_messages', kept_messages)
  update('kept_tokens', kept_tokens)
end
if ttl > 0 then update('ttl', ttl) end
redis.call('HSET', meta, unpack(updates))
if ttl > 0 then -- one moment for all: a log that ends a millisecond before its totals would leave them wrong
  redis.call('PEXPIREAT', log, now + ttl)
  redis.call('PEXPIREAT', meta, now + ttl)
  redis.call('PEXPIREAT', keep, now + ttl)
elseif state[12] then
  live_on(log, meta, keep)
end
if stored > 0 and tonumber(state[11] or 0) > now then wake(meta) end
return reply
