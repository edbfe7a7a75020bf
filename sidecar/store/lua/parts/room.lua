-- room: the oldest messages go to make room for new ones (`overflow: trim`). Instructions, pins and critical messages
-- stay (they are in keep), and tool calls go with their results. What the conversation goes on from stays, too, as in
-- a flush: a call whose results come now or later, and the newest message of the talk where only instructions come. So
-- the same goes as by the strategy `fifo` (`sidecar/memory/plan.py`) of the memory with its new messages.
-- Needs the parts `units` and `removal`.
--
-- Cost: O(messages that go + kept ones that are older). Where results of tools come, also the way back to their call.

local ROOM_PAGE = 16   -- a memory at its limit mostly loses one or two messages per append
local ROOM_CHUNK = 5000 -- Lua's `unpack` takes at most about 8,000 values

local INSTRUCTIONS = { system = true, developer = true }

-- Returns the newest entry whose role is none of these.
local function newest_but(log, roles)
  local scanned, to = 0, '+'
  while scanned < UNIT_REACH do
    local page = redis.call('XREVRANGE', log, to, '-', 'COUNT', ROOM_PAGE)
    for _, entry in ipairs(page) do
      if not roles[entry[2][2]] then return entry end
    end
    if #page < ROOM_PAGE then return nil end
    scanned, to = scanned + #page, '(' .. page[#page][1]
  end
end

-- Whether any of the new messages is a result that belongs to a caller in the log.
local function joins(log, caller, calls, news)
  local _, _, open, mine = results_of(log, caller, calls)
  for _, entry in ipairs(news) do
    local others, answers = links(entry)
    if answers and mine[answers] then return true end
    if entry[2][2] ~= 'tool' and not next(open) then return false end
    for id in pairs(others or {}) do mine[id] = nil end
  end
  return false
end

-- Returns the first ids of the units that the conversation goes on from, as a set. The new messages are `count` times
-- four values of ARGV.
local function current_units(log, first, count)
  local news, talk, moved_on, stays = {}, false, false, {}
  for at = first, first + 4 * count - 4, 4 do
    local role, fields = ARGV[at], ARGV[at + 3]
    news[#news + 1] = { '', { 'r', role, 'c', '', 'n', '0' } }
    if fields ~= '' then news[#news][2][7], news[#news][2][8] = 'x', fields end
    talk, moved_on = talk or not INSTRUCTIONS[role], moved_on or role ~= 'tool'
  end
  for _, entry in ipairs(news) do
    local _, answers = links(entry)
    if answers then
      local caller, calls = caller_of(log, '+', answers)
      if caller and joins(log, caller, calls, news) then stays[caller[1]] = true end
    end
  end
  if not moved_on then
    local caller = newest_but(log, { tool = true })
    local calls = caller and links(caller)
    if calls then
      local _, _, open = results_of(log, caller, calls)
      if next(open) then stays[caller[1]] = true end
    end
  end
  local newest = not talk and newest_but(log, INSTRUCTIONS)
  if newest then stays[(unit_of(log, newest) or { newest })[1][1]] = true end
  return stays
end

-- Returns the ids that go, their number and their tokens; nil where even all that may go is not enough.
local function oldest_for(log, keep, need_messages, need_tokens, current)
  local ids, count, tokens, decided, from = {}, 0, 0, {}, '-'
  while count < need_messages or tokens < need_tokens do
    local page = redis.call('XRANGE', log, from, '+', 'COUNT', ROOM_PAGE)
    for _, entry in ipairs(page) do
      if not decided[entry[1]] then
        local unit = unit_of(log, entry) or { entry }
        local stays = current[unit[1][1]] or false
        for _, each in ipairs(unit) do
          decided[each[1]] = true
          stays = stays or redis.call('ZSCORE', keep, each[1])
        end
        if not stays then
          for _, each in ipairs(unit) do
            ids[#ids + 1] = each[1]
            count = count + 1
            tokens = tokens + (tonumber(each[2][6]) or 0) -- 0: somebody made the entry by hand
          end
          if count >= need_messages and tokens >= need_tokens then break end
        end
      end
    end
    if #page < ROOM_PAGE then break end
    from = '(' .. page[#page][1]
  end
  if count < need_messages or tokens < need_tokens then return nil end
  return ids, count, tokens
end

local function delete_entries(log, ids)
  for at = 1, #ids, ROOM_CHUNK do
    redis.call('XDEL', log, unpack(ids, at, math.min(at + ROOM_CHUNK - 1, #ids)))
  end
end
