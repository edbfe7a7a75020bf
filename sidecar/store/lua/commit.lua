-- commit: carries out the plan of one flush, all of it or nothing. What goes must have been set aside before (`copy`),
-- what is shortened must have been prepared (`shorten`), and where the plan takes much, the log that is to be as well.
--
-- KEYS  1 log   2 meta   3 keep   4 due (outbox of the shard)   5 lock
--       6 work (the staged plan and summary)   7 aside   8 brief   9 next   10 undo   11 was   12 seen
-- ARGV  1 run id
--       2 epoch, 3 fence, 4 generation, 5 time in ms that begin returned
--       6 token threshold, -1 for none
--       7 message threshold, -1 for none
--       8 name of the memory, its member in the outbox
--       9 TTL of the memory in ms, 0 for none
--       10 how long it can be undone in ms, 0 for not at all
--       11 strategy
--       12 messages that go, 13 messages that are shortened, 14 tokens that both free
--       15, 16 messages and tokens that the log holds more than meta says
--       17 '1' if a summary replaces what goes
--       18 first and 19 last id of what goes, '' where nothing does
--       20 with a log made anew, the last id that it covers, and '' otherwise; then:
--       21 last id of what goes at the head of the log, '' if the oldest message stays
--       22 … ids of the others that go
-- Returns an array whose first element is one of
--   'committed'    again (1 or 0), the record of this flush (see RECORD)
--   'done'         the same, of this run's earlier commit: nothing was changed now
--   'behind'       so much was appended since the log was made anew that the rest is to be copied in pieces first
--   'stale-epoch'  the memory is gone, or cleared since the begin
--   'stale-fence'  a later flush has begun, this one was given up, or messages went by another hand
--   'lost-plan'    the staged plan, or the summary that it asks for, has expired
--   'stale-plan'   the log is not what the plan was made from: a planned message was pinned since, or somebody
--                  has edited the stream itself
--   'locked'       ms left: somebody holds the lease on the memory, and what he reads must stay
-- With all but the first nothing of the memory was changed.
--
-- Atomic because readers must see either the messages or the summary that stands for them, because the totals
-- must be those of the log at any moment, and because no append may come between the look at the threshold
-- and the removal of the mark.
--
-- Why exactly the planned messages go: the plan names entries up to the last id of the snapshot, and Redis
-- never adds an entry at or below a stream's last id. So a planned range can hold nothing that was not
-- planned. It could hold less only if somebody removed entries by hand, past the fence. Then `aside` lacks them, or the
-- length of the stream (XLEN is O(1)) is not the stored total, corrected by what the plan already found
-- to be wrong with it. (Who removes one and adds another by hand passes this check; then the messages that are
-- there are counted, and the next plan finds the tokens to be wrong.) A plan holds no kept message, so one that
-- lies in `aside` was pinned since; it stays, and with it the plan is void. Everything is read and
-- checked before the first write to the memory, so that no error leaves half a commit.
--
-- Cost: O(messages that go) in place, which is kept to about 2 ms by who calls it; O(1) with a log made anew.

-- include: order
-- include: ids
-- include: swap

local RECORD = {'last_run', 'last_status', 'last_strategy', 'last_error', 'last_removed', 'last_freed',
  'last_duration', 'last_summary_tokens', 'last_shortened', 'messages', 'tokens'}
local CHUNK = 5000 -- Lua's `unpack` takes at most about 8,000 values

local log, meta, keep, due, lock, work = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local aside, brief, next_log, undo, was = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local run, epoch, fence, generation, begun = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local threshold_tokens, threshold_messages = tonumber(ARGV[6]), tonumber(ARGV[7])
local name, ttl, undo_ttl, strategy = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]
local removed, shortened, freed_tokens = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local drift_messages, drift_tokens, summarise = tonumber(ARGV[15]), tonumber(ARGV[16]), ARGV[17] == '1'
local first, last, cursor, head = ARGV[18], ARGV[19], ARGV[20], ARGV[21]

local function over(messages, tokens)
  return (threshold_tokens >= 0 and tokens > threshold_tokens)
    or (threshold_messages >= 0 and messages > threshold_messages)
end

local function answer(code, again)
  return {code, again and 1 or 0, unpack(redis.call('HMGET', meta, unpack(RECORD)))}
end

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run', 'last_run', 'last_status', 'messages',
  'tokens', 'summary_tokens', 'generation', 'summary_first', 'summary_last', 'summary_messages', 'summary')
local messages, tokens = tonumber(state[6] or 0), tonumber(state[7] or 0)
local summary_tokens, generation_now = tonumber(state[8] or 0), tonumber(state[9] or 0)
local marked = redis.call('ZSCORE', due, name)

if state[1] ~= epoch then return {'stale-epoch'} end
if state[4] == run and state[5] == 'done' then
  return answer('done', marked and over(messages, tokens + summary_tokens))
end
if state[2] ~= fence or state[3] ~= run then return {'stale-fence'} end

local lease_ms = redis.call('PTTL', lock)
if lease_ms ~= -2 then -- it is there; 0 is its last half millisecond
  return {'locked', math.max(1, lease_ms)}
end

local staged = redis.call('HMGET', work, 'run', 'summary', 'summary_tokens')
if staged[1] ~= run or (summarise and not staged[2]) then return {'lost-plan'} end

local length = redis.call('XLEN', log)
if length ~= messages + drift_messages then return {'stale-plan'} end
if redis.call('XLEN', aside) ~= removed + shortened or redis.call('XLEN', brief) ~= shortened then
  return {'stale-plan'}
end
if head ~= '' then
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
  if #oldest == 0 or oldest[1][1] ~= first then return {'stale-plan'} end
end
if removed + shortened > 0 then
  local from = redis.call('XRANGE', aside, '-', '+', 'COUNT', 1)[1][1]
  local to = redis.call('XREVRANGE', aside, '+', '-', 'COUNT', 1)[1][1]
  local kept = redis.call('ZRANGEBYSCORE', keep, string.match(from, '^%d+'), string.match(to, '^%d+'))
  for _, id in ipairs(kept) do
    if #redis.call('XRANGE', aside, id, id) > 0 then return {'stale-plan'} end
  end
end
if cursor ~= '' then
  if not copy_tail(log, next_log, cursor) then return {'behind'} end
  local length_then = redis.call('XLEN', next_log)
  if length_then == 0 or length_then ~= length - removed then
    return {'stale-plan'}
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
tokens = tokens + drift_tokens - freed_tokens
local fields = {
  'tokens', tokens, 'last_run', run, 'last_status', 'done', 'last_strategy', strategy,
  'last_flush', string.format('%.0f', now), 'last_freed', freed_tokens, 'last_shortened', shortened,
  'last_duration', string.format('%.0f', math.max(0, now - begun)), 'last_summary_tokens', 0,
}
local gone = {'flush_run', 'flush_until', 'last_error'}

local function set(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end

if summarise then
  summary_tokens = tonumber(staged[3])
  if staged[2] ~= '' then
    set('summary', staged[2])
    set('summary_tokens', summary_tokens)
    set('last_summary_tokens', summary_tokens)
  else
    summary_tokens = 0
    gone[#gone + 1] = 'summary'
    gone[#gone + 1] = 'summary_tokens'
  end
end
if removed > 0 then
  set('summary_first', (state[10] and earlier(state[10], first)) and state[10] or first)
  set('summary_last', (state[11] and earlier(last, state[11])) and state[11] or last)
  set('summary_messages', tonumber(state[12] or 0) + removed)
end

if cursor ~= '' then
  swap(log, next_log, meta, keep)
else
  if head ~= '' then
    -- MINID keeps the id that it names, so the last one goes by itself.
    redis.call('XTRIM', log, 'MINID', '=', head)
    redis.call('XDEL', log, head)
  end
  for at = 22, #ARGV, CHUNK do
    redis.call('XDEL', log, unpack(ARGV, at, math.min(at + CHUNK - 1, #ARGV)))
  end
end

messages = redis.call('XLEN', log)
set('messages', messages)
set('last_removed', length - messages)
if ttl > 0 then set('ttl', ttl) end
redis.call('HDEL', meta, unpack(gone))
redis.call('HSET', meta, unpack(fields))

-- What is not the last flush's any more goes; a flush that took nothing leaves the one before it to be undone.
if removed + shortened > 0 then
  redis.call('UNLINK', undo, was)
  if undo_ttl > 0 then
    redis.call('RENAME', aside, undo)
    redis.call('RENAME', work, was)
    redis.call('HDEL', was, 'summary', 'summary_tokens', 'partial', 'partial_messages')
    redis.call('HSET', was, 'epoch', epoch, 'removed', removed)
    for field, at in pairs({summary_tokens = 8, summary_first = 10, summary_last = 11, summary_messages = 12, summary = 13}) do
      if state[at] then redis.call('HSET', was, field, state[at]) end
    end
    -- Neither outlives the memory.
    local ends = now + (ttl > 0 and math.min(ttl, undo_ttl) or undo_ttl)
    redis.call('PEXPIREAT', undo, ends)
    redis.call('PEXPIREAT', was, ends)
  end
end
redis.call('UNLINK', work, aside, brief, next_log)

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
  redis.call('PEXPIREAT', KEYS[12], now + ttl)
end
return answer('committed', again)
