-- read: returns the part of a memory that fits a budget, with the totals it belongs to. One script, so that summary,
-- totals and messages are of one moment: a flush that commits in between cannot make a message appear twice or never.
--
-- KEYS  1 log   2 meta   3 keep   4 only where the flush asks when messages were read: seen, which then notes for each
--       message that is returned that this was now
-- ARGV  1 budget in tokens, -1 = none   2 most messages, at least 1, -1 = none
--       3 only ids after this one, "" = all, "$" = after the newest   4 only ids before this one, "" = all
--       5 whether the summary is wanted (1/0)   6 ttl ms to set, 0 = it never expires, -1 = leave its life as it is
--       7 what is too large for the budget is passed over ("skip"), returned apart ("truncate"), or an error ("error")
--       8 roles that are wanted, each between blanks (" user tool "), "" = all
--       9 ms that the caller will wait if there is nothing, 0 = not at all
--       10 most tokens of instructions and pins   11 most tokens of the summary, -1 = what the budget lets
--       12 the version that came with an earlier reply to the same question, "" = there is none, "-" = none is wanted
--       13 most tokens of a new message with which the caller can go on from that reply by himself, -1 = he cannot;
--       -2 = everything is wanted, and the caller has asked for the entries beside us
--       14 … class, most tokens of its messages
-- Without a budget: all of them; with 2 the newest; with 2 and 3 the oldest after that id. With a budget: the summary
-- and what every read contains (keep) as far as they fit, then the newest others, without a gap, as far as they fit; of
-- these, 2 bounds how far back that goes (with 3: only the oldest after that id count), older kept ones are part of it
-- anyway. A tool call and its results are one unit, which fits or not. What would not fit even if it stood first among
-- the others is passed over and counted as left out; so is what would exceed its class's share, and a broken unit.
-- Returns { summary or "", its tokens, messages in all, tokens in all with summary, 1 if there is more, messages left
--       out, entries, with "$" in 3 the newest id or "", { room, entries } of the unit that is to be cut, or {} };
--       entries in the order of their ids as one string in MessagePack, "" if there are none, each
--       { id, role, content, tokens } and, where it has other fields, these; then the version of all this, "" where
--       none is wanted or nobody can tell; or, with "error" in 7, { "oversize", id, tokens, room };
--       or, where the version in 12 is that of now, { "same" }: the earlier reply holds;
--       or, where messages as in 13 have come since, and nothing else has happened,
--       { "grown", entries that have come, messages in all, tokens in all with summary, version };
--       or, with -2 in 13, { summary or "", its tokens, messages in all, tokens in all with summary, version,
--       { epoch, fence }, entries in the log, id of the newest one or "" }.
-- Cost: O(entries returned + kept ones), plus at most MAX_SKIPPED that are passed over; with 8, at most MAX_SCANNED.
-- With KEYS 4, O(log n) for each entry returned. Where the reply is "same" or "grown", O(kept ones + new entries). With
-- -2 in 13, O(1).

-- A function is made anew each time that a script runs, so what a reply of "same" does not need stands behind it.

local log, meta, keep = KEYS[1], KEYS[2], KEYS[3]
local budget, most, since, before = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local ttl, oversize, roles, wait_ms = tonumber(ARGV[6]), ARGV[7], ARGV[8], tonumber(ARGV[9])
local MAX_SKIPPED = 256    -- a budget smaller than every message must not walk through all of them
local MAX_SCANNED = 10000  -- about 10 ms of Redis's time for roles that are rare
local PAGE = 64            -- entries per XREVRANGE: reading too far costs at most this many
local MAX_GROWN = 64       -- new messages that are looked at before all is read anew
local NOTED = 4000         -- values per ZADD: Lua's `unpack` takes at most about 8,000

local state = redis.call('HMGET', meta, 'messages', 'tokens', 'summary', 'summary_tokens', 'ttl', 'epoch', 'watched',
  'fence')
local messages, tokens = tonumber(state[1] or 0), tonumber(state[2] or 0)
local summary, summary_tokens = state[3] or '', tonumber(state[4] or 0)
tokens = tokens + summary_tokens
if ARGV[5] == '0' then summary, summary_tokens = '', 0 end

local newest = ''
if since == '$' then
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if entry then newest = entry[1] end
  since = newest == '' and '0-0' or newest
end

local ends
if state[1] and ttl > 0 then -- also if only a summary is left; one moment for all keys, see append.lua
  local clock = redis.call('TIME')
  ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + ttl
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ends) end
  if not state[5] then redis.call('HSET', meta, 'ttl', ttl) end
elseif state[5] and ttl == 0 then
  -- include: life
  live_on(log, meta, keep)
  if KEYS[4] then redis.call('PERSIST', KEYS[4]) end
end

-- What makes this reply differ from an earlier one to the same question. Ids rise, so whoever appends changes the newest;
-- whoever removes changes the length, and what a flush removes and UNDO puts back, the fence. A memory that a client made
-- by hand has no epoch, and so no version.
local apart = ARGV[13] == '-2'
local version, base, length, last = '', nil, nil, nil
if apart or (ARGV[12] ~= '-' and state[6]) then
  last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  last, length = last and last[1], redis.call('XLEN', log)
end
if ARGV[12] ~= '-' and state[6] then
  local kept_ones = budget >= 0 and redis.call('ZRANGE', keep, 0, -1) or {}
  local pinned = table.concat(kept_ones, ' ')
  base = redis.sha1hex(table.concat({ state[6], state[8] or '', summary_tokens, summary, pinned }, ' '))
  version = table.concat({ base, messages, tokens, length, last or '-', #kept_ones }, ' ')
  if version == ARGV[12] then return { 'same' } end
end

if apart then
  return { summary, summary_tokens, messages, tokens, version, { state[6], state[8] }, length, last or '' }
end

-- include: units

-- So that the next append tells us; of everybody who waits, the one who waits longest counts.
local function announce_waiter()
  local clock = redis.call('TIME')
  local until_ms = clock[1] * 1000 + math.floor(clock[2] / 1000) + wait_ms
  if until_ms > tonumber(state[7] or 0) then redis.call('HSET', meta, 'watched', string.format('%.0f', until_ms)) end
  if not state[6] then -- there is no memory yet: nothing of us must stay if there never is one
    redis.call('PEXPIRE', meta, math.max(wait_ms, redis.call('PTTL', meta)))
  end
end

local note_reading
if KEYS[4] then -- most reads do not need it
  note_reading = function(entries, unit)
    local clock, values = redis.call('TIME'), {}
    local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
    for _, each in ipairs({ entries, unit }) do
      for _, entry in ipairs(each) do
        values[#values + 1], values[#values + 2] = now, entry[1]
        if #values == NOTED then
          redis.call('ZADD', KEYS[4], unpack(values))
          values = {}
        end
      end
    end
    if #values > 0 then redis.call('ZADD', KEYS[4], unpack(values)) end
    if ends then redis.call('PEXPIREAT', KEYS[4], ends) end
  end
end

-- One string, because Redis needs twice as long for a reply of many small parts as for all the rest of a read. The
-- entries are of no use afterwards: their tables are written over, since new ones would cost more than the packing.
local function packed(entries)
  if #entries == 0 then return '' end -- an empty table would be packed as a map
  local forms = {}
  for at, entry in ipairs(entries) do
    local form = entry[2]
    local values = #form
    form[1], form[3], form[4], form[5] = entry[1], form[4], form[6], form[7] == 'x' and form[8] or nil
    for at_end = 6, values do form[at_end] = nil end
    forms[at] = form
  end
  return cmsgpack.pack(forms)
end

local function reply(more, left_out, entries, cut)
  if wait_ms > 0 and #entries == 0 then announce_waiter() end
  if note_reading and (#entries > 0 or cut) then note_reading(entries, cut and cut[2] or {}) end
  if cut then cut[2] = packed(cut[2]) end
  return { summary, summary_tokens, messages, tokens, more and 1 or 0, left_out, packed(entries), newest, cut or {},
    version }
end

-- Returns what has come since the earlier reply if nothing else has happened, and the caller can do with it.
local function grown()
  local base_then, messages_then, tokens_then, length_then, last_then =
    string.match(ARGV[12], '^(%x+) (%d+) (%d+) (%d+) (%d+%-%d+) ')
  local more = base_then == base and messages - messages_then or 0
  if more < 1 or more > MAX_GROWN or length - length_then ~= more then return nil end
  local new, sum = redis.call('XRANGE', log, '(' .. last_then, '+', 'COUNT', more + 1), 0
  for _, entry in ipairs(new) do
    local weight = tonumber(entry[2][6])
    if not weight or weight > tonumber(ARGV[13]) or (budget >= 0 and entry[2][7]) then return nil end
    sum = sum + weight
  end
  return #new == more and sum == tokens - tokens_then and new
end

if version ~= '' and ARGV[13] ~= '-1' then
  local new = grown()
  if new then return { 'grown', packed(new), messages, tokens, version } end
end

local function reversed(list)
  local turned = {}
  for i = #list, 1, -1 do turned[#turned + 1] = list[i] end
  return turned
end

local from = (since == '' and '-') or ('(' .. since)
local to = (before == '' and '+') or ('(' .. before)

local summary_share = tonumber(ARGV[11])
if budget >= 0 and (budget < summary_tokens or (summary_share >= 0 and summary_share < summary_tokens)) then
  summary, summary_tokens = '', 0
end

local LAST = '18446744073709551615'
if before == '0-0' or before == '0' or since == LAST .. '-' .. LAST then
  return reply(false, 0, {}) -- nothing can be there, and Redis takes no such bound
end

local function wanted(entry)
  return roles == '' or string.find(roles, ' ' .. entry[2][2] .. ' ', 1, true) ~= nil
end

-- Returns up to `count` + 1 entries of the wanted roles (all: -1) in the order of the walk, and whether it was broken off.
local function of_roles(command, start, stop, count)
  local found, scanned = {}, 0
  while scanned < MAX_SCANNED do
    local page = redis.call(command, log, start, stop, 'COUNT', PAGE)
    for _, entry in ipairs(page) do
      if wanted(entry) then
        found[#found + 1] = entry
        if #found == count + 1 then return found, false end
      end
    end
    scanned = scanned + #page
    if #page < PAGE then return found, false end
    start = '(' .. page[#page][1]
  end
  return found, true
end

local function some(command, start, stop, count)
  if roles ~= '' then return of_roles(command, start, stop, count) end
  if count < 0 then return redis.call(command, log, start, stop), false end
  return redis.call(command, log, start, stop, 'COUNT', count + 1), false
end

if budget < 0 then
  local forward = most < 0 or since ~= ''
  local found, broken_off
  -- Everything of some roles is the newest that a bounded walk finds.
  if forward and (most >= 0 or roles == '') then
    found, broken_off = some('XRANGE', from, to, most)
  else
    forward = false
    found, broken_off = some('XREVRANGE', to, from, most)
  end
  local more = broken_off or (most >= 0 and #found > most)
  if most >= 0 and #found > most then found[#found] = nil end
  return reply(more, 0, forward and found or reversed(found))
end

-- By number: as text, "9-0" would come after "10-0".
local function older(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-?(%d*)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-?(%d*)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  if a_ms ~= b_ms then return a_ms < b_ms end
  return (tonumber(a_seq) or 0) < (tonumber(b_seq) or 0)
end

local more_after = false
if most >= 0 and since ~= '' then -- only the oldest of them after that id are looked at
  local first_ones, broken_off = some('XRANGE', from, to, most)
  more_after = #first_ones > most or broken_off
  if #first_ones > most then to, before = '(' .. first_ones[most + 1][1], first_ones[most + 1][1] end
  most = -1
end

-- A unit: its members that have a say here, their number and tokens, and whether it may be returned at all.
local function unit_at(entry)
  local unit, whole = unit_of(log, entry)
  if not unit then return { entry }, tonumber(entry[2][6]), true end
  if since ~= '' and not older(since, unit[1][1]) then
    return { entry }, tonumber(entry[2][6]), true -- whoever goes on from `since` has the call already
  end
  local weight = 0
  for _, each in ipairs(unit) do
    weight = weight + tonumber(each[2][6])
    whole = whole and wanted(each) and (before == '' or older(each[1], before))
  end
  return unit, weight, whole
end

-- The share of summary, instructions and pins comes off first, so that the walk knows what is left for the rest.
local room, left_out = budget - summary_tokens, 0
local kept_room = tonumber(ARGV[10])
kept_room = kept_room < 0 and room or math.min(room, kept_room)
local kept, taken = {}, {} -- by id: the entry that is returned, or false
local oversized -- what ends the read where that is an error

local function note(verdicts, unit, verdict)
  for _, each in ipairs(unit) do verdicts[each[1]] = verdict and each end
end

local kept_ids = redis.call('ZRANGE', keep, 0, -1)
table.sort(kept_ids, older)
for _, id in ipairs(kept_ids) do
  local inside = (since == '' or older(since, id)) and (before == '' or older(id, before))
  local entry = inside and kept[id] == nil and redis.call('XRANGE', log, id, id)[1]
  if entry and wanted(entry) then
    local unit, weight, whole = unit_at(entry)
    local fits = whole and weight <= kept_room
    note(kept, unit, fits)
    if fits then
      room, kept_room = room - weight, kept_room - weight
    else
      left_out = left_out + #unit
      if oversize == 'error' and whole and weight > budget then return { 'oversize', id, weight, budget } end
    end
  end
end

local shares, used = {}, {}
for at = 14, #ARGV, 2 do shares[ARGV[at]], used[ARGV[at]] = tonumber(ARGV[at + 1]), 0 end
local function class_of(entry)
  local pairs_ = entry[2]
  local class = pairs_[7] == 'k' and pairs_[8] or pairs_[9] == 'k' and pairs_[10] or nil
  return class and shares[class] and class
end

local share, counted, skipped, scanned, cut = room, 0, 0, 0, nil

-- Decides about the unit of an entry that the walk has come to; false where the walk ends.
local function take(entry)
  local unit, weight, whole = unit_at(entry)
  local class = class_of(unit[1])
  local passed_over = not whole or (most >= 0 and #unit > most)
    or (class and used[class] + weight > shares[class])
  if not passed_over then
    if most >= 0 and counted + #unit > most then return false end
    if weight <= room then
      room, counted = room - weight, counted + #unit
      if class then used[class] = used[class] + weight end
      note(taken, unit, true)
      return true
    elseif weight <= share then
      return false
    elseif oversize == 'error' then
      oversized = { 'oversize', entry[1], weight, share }
      return false
    elseif oversize == 'truncate' then
      cut = { room, unit }
      note(taken, unit, false)
      return false
    end
  end
  if skipped >= MAX_SKIPPED then return false end
  skipped = skipped + #unit
  note(taken, unit, false)
  return true
end

local backwards, seen, upper, full = {}, {}, to, false
local function add(entry)
  backwards[#backwards + 1] = entry
  seen[entry[1]] = true
end

while not full do
  local page = redis.call('XREVRANGE', log, upper, from, 'COUNT', PAGE)
  for _, entry in ipairs(page) do
    local id, plain, weight = entry[1], entry[2][7] == nil and roles == '', nil
    if plain then weight = tonumber(entry[2][6]) end
    if plain and weight <= room and kept[id] == nil and counted ~= most then
      -- Nearly all: no other fields, so no unit and no class. It cannot have been met before.
      room, counted = room - weight, counted + 1
      backwards[#backwards + 1] = entry
    elseif kept[id] ~= nil then
      if kept[id] and counted ~= most then -- otherwise it follows below, with the older ones
        counted = counted + 1
        add(entry)
      end
    elseif taken[id] == nil and wanted(entry) then
      if counted == most or not take(entry) then
        full = true
        break
      end
      if taken[id] then add(entry) end
    elseif taken[id] then
      add(entry)
    end
  end
  scanned = scanned + #page
  if #page < PAGE then break end
  if roles ~= '' and scanned >= MAX_SCANNED then full = true end
  upper = '(' .. page[#page][1]
end
if oversized then return oversized end

-- What is returned and the walk has not come to: older kept ones, and calls whose results it met last.
local others = {}
for _, verdicts in ipairs({ kept, taken }) do
  for id, entry in pairs(verdicts) do
    if entry and not seen[id] then others[#others + 1] = entry end
  end
end
table.sort(others, function(a, b) return older(a[1], b[1]) end)

local entries, next_one = {}, 1
for i = #backwards, 1, -1 do
  while others[next_one] and older(others[next_one][1], backwards[i][1]) do
    entries[#entries + 1] = others[next_one]
    next_one = next_one + 1
  end
  entries[#entries + 1] = backwards[i]
end
for i = next_one, #others do entries[#entries + 1] = others[i] end
return reply(full or more_after, left_out + skipped, entries, cut)
