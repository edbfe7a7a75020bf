-- append: stores one batch of appends to one memory, or the one MEMWRITE that replaces it: messages, totals, life time,
-- and the mark that a flush is due. The whole promise of MEMAPPEND rests on this being one script: no update is lost,
-- nothing is half stored, a batch that is sent twice (the connection broke before the reply) is stored once, an append
-- that its caller sends twice (IDEMPOTENT) is stored once, and the mark cannot be forgotten.
--
-- KEYS  1 log   2 meta   3 keep   4 due   5 lock   6 … one per request that has an idempotency token; before these, for
--       a MEMWRITE, what else belongs to the content that goes
-- ARGV  1 op field ("op:<sidecar id>")   2 number of this batch, strictly increasing per sidecar
--       3 the memory's name (member of due)   4 ttl ms, 0 = none
--       5 threshold tokens   6 threshold messages, -1 = none   7 encoding of the counts
--       8 token of the lease, "" = none   9 "", or what few memories have: "<most tokens> <most messages> <trim>
--       <replace>", with -1 = no hard limit; trim 1: the oldest messages make room, 0: what is above a hard limit is
--       refused; replace: everything that is there goes, with so many keys more   10 requests in the batch
--       then per request: number of messages, with an idempotency token followed by " <ms to keep it>"; and per
--       message: role, content, tokens, other fields as JSON or ""; tokens may be followed by " <class>", or
--       " !<class>" for a critical one
-- Returns one string, which is also what is kept for a resend:
--       "<none|due|running> <1 if newly marked> [<group> …]" with a group for each request, which is one of
--         <first id> <last id> <messages> <tokens>   stored; the totals as they were right after it; ids "-" if empty
--         again <first id> <last id> <appended> <messages> <tokens> <none|due|running>   the first reply to its token
--         over <messages> <tokens>   refused, above a hard limit; the totals that there are
--       or "encoding <name>": the memory was counted with another encoding;
--       or "locked <ms left>", "stale-lock": somebody else's lease, or none. With these three nothing was stored.
--       An error means the same: keys of another type are found before the first write.
-- Cost: O(messages of the batch, and those that make room). Once per sidecar and memory, also O(sidecars that wrote).

-- A function is made anew each time that a script runs, so whatever few appends need stands in a block of its own.

-- include: repeats

local log, meta, keep, due, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local op, number, name, encoding = ARGV[1], ARGV[2], ARGV[3], ARGV[7]
local ttl, limit_tokens, limit_messages = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local requests = tonumber(ARGV[10])
local FIRST_REQUEST, first_idem = 11, 6

local most_tokens, most_messages, trims, replaces, hard
if ARGV[9] ~= '' then
  local tokens_, messages_, trim, replace = string.match(ARGV[9], '^(-?%d+) (-?%d+) (%d) (%d+)$')
  most_tokens, most_messages, trims, replaces = tonumber(tokens_), tonumber(messages_), trim == '1', replace ~= '0'
  first_idem = first_idem + tonumber(replace)
  hard = most_tokens >= 0 or most_messages >= 0
end

local state = redis.call('HMGET', meta, op, 'encoding', 'messages', 'tokens', 'summary_tokens', 'flush_until',
  'locked', 'watched', 'ttl')
local before, refused = earlier_reply(state[1], number)
if before then return before end
if refused then return refused end

-- The replies that idempotency tokens have had already. Alone in its batch, a repetition needs no lease.
local repeated
for at = first_idem, #KEYS do
  repeated = repeated or {}
  repeated[at] = redis.call('GET', KEYS[at])
end
if state[7] or not state[2] or ARGV[8] ~= '' then
  -- include: lease
  local refusal = lease_refusal(lock, meta, state[7] or not state[2], ARGV[8])
  if refusal and not (requests == 1 and repeated and repeated[first_idem]) then return refusal end
end
if state[2] and state[2] ~= encoding and not replaces then return 'encoding ' .. state[2] end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local is_new = not state[2]
local messages, tokens = tonumber(state[3] or 0), tonumber(state[4] or 0)
local summary_tokens, flush_until = tonumber(state[5] or 0), tonumber(state[6] or 0)
local flush_run, epoch, floor -- floor: last id of what is gone; ids go on behind it, whatever the clock does
if is_new or messages == 0 or hard or replaces then
  flush_run, epoch, floor = unpack(redis.call('HMGET', meta, 'flush_run', 'epoch', 'floor'))
end
local had_floor = floor

-- What the requests weigh is known before the first write, and keys of another type fail before it too: an error in
-- the middle would not undo what is written already.
local sums, keeps, all_messages, all_tokens, at = {}, false, 0, 0, FIRST_REQUEST
for request = 1, requests do
  local count, sum = tonumber(ARGV[at]) or tonumber(string.match(ARGV[at], '^%d+')), 0
  for message = at + 1, at + 4 * count, 4 do
    local role, weight = ARGV[message], tonumber(ARGV[message + 2])
    if not weight then
      local shown, critical = string.match(ARGV[message + 2], '^(%d+) (!?)')
      weight, keeps = tonumber(shown), keeps or critical == '!'
    end
    keeps = keeps or role == 'system' or role == 'developer'
    sum = sum + weight
  end
  sums[request] = sum
  all_messages, all_tokens = all_messages + count, all_tokens + sum
  at = at + 1 + 4 * count
end
if keeps then redis.call('ZCARD', keep) end
if (limit_tokens >= 0 and tokens + summary_tokens + all_tokens > limit_tokens)
  or (limit_messages >= 0 and messages + all_messages > limit_messages) then
  redis.call('ZCARD', due)
end

local fits, empty
if hard or replaces then
  -- include: removal
  -- include: units
  -- include: room
  -- include: ids

  redis.call('XLEN', log) -- elsewhere the first write is an XADD, which looks itself
  redis.call('ZCARD', keep)
  if replaces then redis.call('ZCARD', due) end -- a MEMWRITE takes the mark out, when the old content is gone already

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
  fits = function(count, weight)
    if count == 0 then return true end
    if replaces then
      local many, long = excess(count, weight)
      return many + long == 0
    end
    local many, long = excess(messages + count, tokens + summary_tokens + weight)
    if many + long == 0 then return true end
    local ids, gone, freed
    if trims then ids, gone, freed = oldest_for(log, keep, many, long, current_units(log, at + 1, count)) end
    if not ids then return false end
    delete_entries(log, ids)
    messages, tokens = messages - gone, tokens - freed
    overtake()
    return true
  end

  -- Empties the memory for a MEMWRITE. What is not its content stays: fences, leases, numbers of sidecars.
  empty = function()
    if not is_new then floor = last_id(log) or floor end
    redis.call('UNLINK', log, keep, unpack(KEYS, 6, first_idem - 1))
    redis.call('HDEL', meta, 'encoding', 'summary', 'summary_tokens', 'summary_first', 'summary_last',
      'summary_messages', 'kept_messages', 'kept_tokens', 'generation')
    redis.call('HSET', meta, 'messages', 0, 'tokens', 0)
    redis.call('ZREM', due, name)
    overtake()
    is_new = true
    messages, tokens, summary_tokens = 0, 0, 0
  end
end

local groups, first_replies, stored, idem = {}, nil, 0, first_idem
local kept_messages, kept_tokens = 0, 0 -- of what is stored here
at = FIRST_REQUEST
for request = 1, requests do
  local count, key, keep_ms = tonumber(ARGV[at]), nil, nil
  if not count then
    count, keep_ms = string.match(ARGV[at], '^(%d+) (%d+)$')
    count, key, idem = tonumber(count), idem, idem + 1
  end
  if key and repeated[key] then
    groups[request] = 'again ' .. repeated[key]
  elseif hard and not fits(count, sums[request]) then
    groups[request] = string.format('over %.0f %.0f', messages, tokens)
  else
    if replaces and (state[2] or count > 0) then empty() end
    local first, last
    for message = at + 1, at + 4 * count, 4 do
      local role, shown, fields = ARGV[message], ARGV[message + 2], ARGV[message + 3]
      local weight, class, critical, id = tonumber(shown), nil, '', '*'
      if not weight then
        shown, critical, class = string.match(shown, '^(%d+) (!?)(.*)$')
        weight = tonumber(shown)
      end
      if floor then -- from the first entry on the stream itself sees to it
        -- include: ids
        id, floor = id_behind(floor, now), nil
      end
      if class then
        if fields == '' then
          last = redis.call('XADD', log, id, 'r', role, 'c', ARGV[message + 1], 'n', shown, 'k', class)
        else
          last = redis.call('XADD', log, id, 'r', role, 'c', ARGV[message + 1], 'n', shown, 'x', fields, 'k', class)
        end
      elseif fields == '' then
        last = redis.call('XADD', log, id, 'r', role, 'c', ARGV[message + 1], 'n', shown)
      else
        last = redis.call('XADD', log, id, 'r', role, 'c', ARGV[message + 1], 'n', shown, 'x', fields)
      end
      first = first or last
      if critical == '!' or role == 'system' or role == 'developer' then
        redis.call('ZADD', keep, string.match(last, '^%d+'), last)
        kept_messages, kept_tokens = kept_messages + 1, kept_tokens + weight
      end
    end
    stored = stored + count
    messages, tokens = messages + count, tokens + sums[request]
    local ids = (first or '-') .. ' ' .. (last or '-')
    local totals = string.format(' %.0f %.0f', messages, tokens)
    groups[request] = ids .. totals
    if key then
      first_replies = first_replies or {}
      first_replies[key] = { ids .. ' ' .. count .. totals, keep_ms }
    end
  end
  at = at + 1 + 4 * count
end

local over = (limit_tokens >= 0 and tokens + summary_tokens > limit_tokens)
  or (limit_messages >= 0 and messages > limit_messages)
local head = (flush_until > now and 'running') or (over and 'due') or 'none'
if first_replies then
  for key, first in pairs(first_replies) do redis.call('SET', KEYS[key], first[1] .. ' ' .. head, 'PX', first[2]) end
end
if stored == 0 and not state[2] then return head .. ' 0 ' .. table.concat(groups, ' ') end -- there is no memory yet

local marked = 0
if over and stored > 0 then
  marked = redis.call('ZADD', due, 'NX', now, name)
  redis.call('HINCRBY', meta, 'generation', 1)
end
if kept_messages > 0 then
  redis.call('HINCRBY', meta, 'kept_messages', kept_messages)
  redis.call('HINCRBY', meta, 'kept_tokens', kept_tokens)
end
local reply = head .. ' ' .. marked .. ' ' .. table.concat(groups, ' ')
local updates = { 'messages', messages, 'tokens', tokens, 'updated', now, op, number .. ':' .. now .. ':' .. reply }
if ttl > 0 then
  updates[9], updates[10] = 'ttl', ttl
end
redis.call('HSET', meta, unpack(updates))
if is_new then
  redis.call('HSET', meta, 'encoding', encoding, 'created', now, 'epoch',
    string.format('%.0f', math.max(clock[1] * 1000000 + clock[2], tonumber(epoch or 0) + 1)))
  if not state[7] and redis.call('EXISTS', lock) == 1 then redis.call('HSET', meta, 'locked', 1) end
  if ttl == 0 then redis.call('PERSIST', meta) end -- of a lease or a waiting reader that came before the memory
elseif not state[1] then
  -- include: forgetting
  forget_others(meta, now)
end
if floor and floor ~= had_floor then
  redis.call('HSET', meta, 'floor', floor)
elseif had_floor and not floor then
  redis.call('HDEL', meta, 'floor')
end
if ttl > 0 then -- one moment for all: a log that ends a millisecond before its totals would leave them wrong
  redis.call('PEXPIREAT', log, now + ttl)
  redis.call('PEXPIREAT', meta, now + ttl)
  redis.call('PEXPIREAT', keep, now + ttl)
elseif state[9] then
  -- include: life
  live_on(log, meta, keep)
end
if stored > 0 and tonumber(state[8] or 0) > now then
  -- include: life
  wake(meta)
end
return reply
