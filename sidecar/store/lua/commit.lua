-- commit: carries out the staged plan of one flush, all of it or nothing.
--
-- KEYS  1 log   2 meta   3 keep   4 due (outbox of the shard)   5 work (the staged plan and summary)   6 lock
-- ARGV  1 run id
--       2 epoch, 3 fence, 4 generation, 5 time in ms that begin returned
--       6 token threshold, -1 for none
--       7 message threshold, -1 for none
--       8 name of the memory, its member in the outbox
--       9 TTL of the memory in ms, 0 for none
-- Returns an array whose first element is one of
--   'committed'    again (1 or 0), the record of this flush (see RECORD)
--   'done'         the same, of this run's earlier commit: nothing was changed now
--   'stale-epoch'  the memory is gone, or cleared since the begin
--   'stale-fence'  a later flush has begun, this one was given up, or messages went by another hand
--   'lost-plan'    the staged plan, or the summary that it asks for, has expired
--   'stale-plan'   the log is not what the plan was made from: a planned message was pinned since, or somebody
--                  has edited the stream itself
--   'locked'       ms left: somebody holds the lease on the memory, and what he reads must stay
-- With the last five nothing was changed.
--
-- Atomic because readers must see either the messages or the summary that stands for them, because the totals
-- must be those of the log at any moment, and because no append may come between the look at the threshold
-- and the removal of the mark.
--
-- Why exactly the planned messages go: the plan names entries up to the last id of the snapshot, and Redis
-- never adds an entry at or below a stream's last id. So a planned range can hold nothing that was not
-- planned. It could hold less only if somebody removed entries by hand, past the fence. That shows in the
-- length of the stream (XLEN is O(1)): it must be the stored total, corrected by what the plan already found
-- to be wrong with it. (Who removes one and adds another by hand passes this check; then the messages that are
-- there are counted, and the next plan finds the tokens to be wrong.) A plan holds no kept message, so one that
-- lies in a planned range was pinned since; it stays, and with it the plan is void. Everything is read and
-- checked before the first write, so that no error leaves half a commit.

local RECORD = {'last_run', 'last_status', 'last_strategy', 'last_error', 'last_removed', 'last_freed',
  'last_duration', 'last_summary_tokens', 'messages', 'tokens'}
local CHUNK = 5000 -- Lua's `unpack` takes at most about 8,000 values

local log, meta, keep, due, work = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local run, epoch, fence, generation, begun = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local threshold_tokens, threshold_messages = tonumber(ARGV[6]), tonumber(ARGV[7])
local name, ttl = ARGV[8], tonumber(ARGV[9])

-- Ids as strings: the parts may be larger than a Lua number holds exactly, and have no leading zeros.
local function earlier(left, right)
  local left_ms, left_seq = string.match(left, '^(%d+)-(%d+)$')
  local right_ms, right_seq = string.match(right, '^(%d+)-(%d+)$')
  if left_ms ~= right_ms then
    left_seq, right_seq = left_ms, right_ms
  end
  if #left_seq ~= #right_seq then
    return #left_seq < #right_seq
  end
  return left_seq < right_seq
end

local function over(messages, tokens)
  return (threshold_tokens >= 0 and tokens > threshold_tokens)
    or (threshold_messages >= 0 and messages > threshold_messages)
end

-- Ids of kept messages from the millisecond of one id to that of another, both included.
local function kept_between(first, last)
  return redis.call('ZRANGEBYSCORE', keep, string.match(first, '^%d+'), string.match(last, '^%d+'))
end

-- Whether an id lies in one of the ranges, which are in order: only the last that begins at or before it can hold it.
local function in_range(ranges, id)
  local low, high = 1, #ranges
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if earlier(id, ranges[middle].first) then
      high = middle - 1
    else
      low = middle
    end
  end
  return not earlier(id, ranges[low].first) and not earlier(ranges[low].last, id)
end

local function answer(code, again)
  return {code, again and 1 or 0, unpack(redis.call('HMGET', meta, unpack(RECORD)))}
end

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run', 'last_run', 'last_status', 'messages',
  'tokens', 'summary_tokens', 'generation', 'summary_first', 'summary_last', 'summary_messages')
local messages, tokens = tonumber(state[6] or 0), tonumber(state[7] or 0)
local summary_tokens, generation_now = tonumber(state[8] or 0), tonumber(state[9] or 0)
local marked = redis.call('ZSCORE', due, name)

if state[1] ~= epoch then
  return {'stale-epoch'}
end
if state[4] == run and state[5] == 'done' then
  return answer('done', marked and over(messages, tokens + summary_tokens))
end
if state[2] ~= fence or state[3] ~= run then
  return {'stale-fence'}
end

local lease_ms = redis.call('PTTL', KEYS[6])
if lease_ms ~= -2 then -- it is there; 0 is its last half millisecond
  return {'locked', math.max(1, lease_ms)}
end

local staged = redis.call('HMGET', work, 'run', 'plan', 'summary', 'summary_tokens')
if staged[1] ~= run or not staged[2] then
  return {'lost-plan'}
end
local plan = cjson.decode(staged[2])
if plan.summarise and not staged[3] then
  return {'lost-plan'}
end

local length = redis.call('XLEN', log)
if length ~= messages + plan.drift_messages then
  return {'stale-plan'}
end
local ranges = plan.ranges
if ranges[1] and not ranges[1].ids then
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
  if #oldest == 0 or oldest[1][1] ~= ranges[1].first then
    return {'stale-plan'}
  end
end
for _, id in ipairs(ranges[1] and kept_between(ranges[1].first, ranges[#ranges].last) or {}) do
  if in_range(ranges, id) then return {'stale-plan'} end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
tokens = tokens + plan.drift_tokens - plan.freed_tokens
local fields = {
  'tokens', tokens, 'last_run', run, 'last_status', 'done', 'last_strategy', plan.strategy,
  'last_flush', string.format('%.0f', now), 'last_freed', plan.freed_tokens,
  'last_duration', string.format('%.0f', math.max(0, now - begun)), 'last_summary_tokens', 0,
}
local gone = {'flush_run', 'flush_until', 'last_error'}

local function set(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end

if plan.summarise then
  summary_tokens = tonumber(staged[4])
  if staged[3] ~= '' then
    set('summary', staged[3])
    set('summary_tokens', summary_tokens)
    set('last_summary_tokens', summary_tokens)
  else
    summary_tokens = 0
    gone[#gone + 1] = 'summary'
    gone[#gone + 1] = 'summary_tokens'
  end
end
if #ranges > 0 then
  local first, last = ranges[1].first, ranges[#ranges].last
  set('summary_first', (state[10] and earlier(state[10], first)) and state[10] or first)
  set('summary_last', (state[11] and earlier(last, state[11])) and state[11] or last)
  set('summary_messages', tonumber(state[12] or 0) + plan.removed)
end

for _, range in ipairs(ranges) do
  if range.ids then
    for at = 1, #range.ids, CHUNK do
      redis.call('XDEL', log, unpack(range.ids, at, math.min(at + CHUNK - 1, #range.ids)))
    end
  else
    -- MINID keeps the id that it names, so the last one goes by itself.
    redis.call('XTRIM', log, 'MINID', '=', range.last)
    redis.call('XDEL', log, range.last)
  end
end

messages = redis.call('XLEN', log)
set('messages', messages)
set('last_removed', length - messages)

if ttl > 0 then set('ttl', ttl) end
redis.call('HDEL', meta, unpack(gone))
redis.call('HSET', meta, unpack(fields))
redis.call('DEL', work)

local still_over = over(messages, tokens + summary_tokens)
local again = still_over and generation_now > generation
if marked and not again then
  -- Below the threshold, or only protected messages are left: the next append above it marks anew.
  redis.call('ZREM', due, name)
end
if ttl > 0 then -- one moment for all of them, as in the append
  redis.call('PEXPIREAT', log, now + ttl)
  redis.call('PEXPIREAT', meta, now + ttl)
  redis.call('PEXPIREAT', keep, now + ttl)
end
return answer('committed', again)
