-- read: returns the part of a memory that fits a budget, with the totals it belongs to. One script, so that summary,
-- totals and messages are of one moment: a flush that commits in between cannot make a message appear twice or never.
--
-- KEYS  1 log   2 meta   3 keep
-- ARGV  1 budget in tokens, -1 = none   2 most messages, at least 1, -1 = none   3 only ids after this one, "" = all
--       4 whether the summary is wanted (1/0)   5 ttl ms to set, 0 = leave it
-- Without a budget: all of them; with 2 the newest; with 2 and 3 the oldest after that id. With a budget: the summary
-- and the instructions (keep) as far as they fit, then the newest others, without a gap, as far as they fit; 2 bounds
-- how far back that goes, older instructions are part of it anyway. What would not fit even if it stood first among
-- the others is passed over and counted as left out.
-- Returns { summary or "", its tokens, messages in all, tokens in all with summary, 1 if there is more, entries left
--       out because they are too large, entries }; entries in the order of their ids, each { id, { field, value … } }
-- Cost: O(entries returned + instructions and pins), plus at most MAX_SKIPPED that are too large for the budget.

local log, meta, keep = KEYS[1], KEYS[2], KEYS[3]
local budget, most, since = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local MAX_SKIPPED = 256 -- a budget smaller than every message must not walk through all of them
local PAGE = 64         -- entries per XREVRANGE: reading too far costs at most this many

local state = redis.call('HMGET', meta, 'messages', 'tokens', 'summary', 'summary_tokens')
local messages, tokens = tonumber(state[1] or 0), tonumber(state[2] or 0)
local summary, summary_tokens = state[3] or '', tonumber(state[4] or 0)
tokens = tokens + summary_tokens
if ARGV[4] == '0' then summary, summary_tokens = '', 0 end

local ttl = tonumber(ARGV[5])
if state[1] and ttl > 0 then -- also if only a summary is left; one moment for all keys, see append.lua
  local clock = redis.call('TIME')
  local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + ttl
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ends) end
end

local oldest = (since == '' and '-') or ('(' .. since)
local function reply(more, left_out, entries)
  return { summary, summary_tokens, messages, tokens, more and 1 or 0, left_out, entries }
end

local function reversed(list)
  local turned = {}
  for i = #list, 1, -1 do turned[#turned + 1] = list[i] end
  return turned
end

if budget < 0 then
  if most < 0 then return reply(false, 0, redis.call('XRANGE', log, oldest, '+')) end
  if since == '' then
    local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', most)
    return reply(messages > #newest, 0, reversed(newest))
  end
  local entries = redis.call('XRANGE', log, oldest, '+', 'COUNT', most + 1)
  local more = #entries > most
  if more then entries[#entries] = nil end
  return reply(more, 0, entries)
end

-- By number: as text, "9-0" would come after "10-0".
local function older(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-?(%d*)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-?(%d*)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  if a_ms ~= b_ms then return a_ms < b_ms end
  return (tonumber(a_seq) or 0) < (tonumber(b_seq) or 0)
end

-- The share of summary, instructions and pins comes off first, so that the walk knows what is left for the rest.
if budget < summary_tokens then summary, summary_tokens = '', 0 end
local room, left_out = budget - summary_tokens, 0
local kept_ids, kept = redis.call('ZRANGE', keep, 0, -1), {} -- kept: entry, or false where it does not fit
table.sort(kept_ids, older)
for _, id in ipairs(kept_ids) do
  local entry = (since == '' or older(since, id)) and redis.call('XRANGE', log, id, id)[1]
  if entry then
    local weight = tonumber(entry[2][6])
    local fits = weight <= room
    kept[id] = fits and entry
    if fits then room = room - weight else left_out = left_out + 1 end
  end
end

local share, skipped, full = room, 0, false
local backwards, seen, upper = {}, {}, '+'
while not full do
  local page = redis.call('XREVRANGE', log, upper, oldest, 'COUNT', PAGE)
  for _, entry in ipairs(page) do
    local id, weight = entry[1], tonumber(entry[2][6])
    if kept[id] then
      if #backwards ~= most then -- otherwise it follows below, with the older ones
        backwards[#backwards + 1] = entry
        seen[id] = true
      end
    elseif kept[id] == nil then
      if #backwards == most then
        full = true
        break
      elseif weight <= room then
        room = room - weight
        backwards[#backwards + 1] = entry
      elseif weight <= share or skipped == MAX_SKIPPED then
        full = true
        break
      else
        skipped = skipped + 1
      end
    end
  end
  if #page < PAGE then break end
  upper = '(' .. page[#page][1]
end

local entries = {}
for _, id in ipairs(kept_ids) do
  if kept[id] and not seen[id] then entries[#entries + 1] = kept[id] end
end
for i = #backwards, 1, -1 do entries[#entries + 1] = backwards[i] end
return reply(full, left_out + skipped, entries)
