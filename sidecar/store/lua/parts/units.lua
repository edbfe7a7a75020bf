-- units: a message that calls tools and the tool messages that answer it go together. The links are in an entry's other
-- fields (JSON): `tool_calls[].id` of the caller, `tool_call_id` of each result. A result belongs to the nearest
-- message before it that made its call, because some clients number their calls anew in every turn.

local UNIT_REACH = 512 -- entries between a call and its results; beyond it they count as strangers

-- An entry is { id, { 'r', role, 'c', content, 'n', tokens, ['x', fields], ['k', class] } }.
local function other_fields(entry)
  local pairs_ = entry[2]
  if pairs_[7] == 'x' then return pairs_[8] end
end

-- Returns the ids of the calls that an entry makes as a set, or nil; and the id that it answers, or nil.
local function links(entry)
  local fields = other_fields(entry)
  if not fields or not string.find(fields, '"tool_call', 1, true) then return nil, nil end
  local fine, message = pcall(cjson.decode, fields)
  if not fine or type(message) ~= 'table' then return nil, nil end
  if entry[2][2] == 'tool' then
    local answers = message.tool_call_id
    return nil, type(answers) == 'string' and answers or nil
  end
  local calls
  if type(message.tool_calls) == 'table' then
    for _, call in ipairs(message.tool_calls) do
      if type(call) == 'table' and type(call.id) == 'string' then
        calls = calls or {}
        calls[call.id] = true
      end
    end
  end
  return calls, nil
end

-- Returns the results of a caller among the entries behind it, oldest first, and whether the unit is whole: each call
-- has a result, or results are still to come, because nothing but tool messages follows. Then the calls without a result
-- and those whose further results would be of this unit, as sets; the latter is empty once the unit is over.
local function results_of(log, caller, calls)
  local open, mine, results, seen, from, closed = {}, {}, {}, 0, '(' .. caller[1], false
  for id in pairs(calls) do open[id], mine[id] = true, true end
  while seen < UNIT_REACH do
    local page = redis.call('XRANGE', log, from, '+', 'COUNT', 16)
    for _, entry in ipairs(page) do
      if entry[2][2] ~= 'tool' then
        if not next(open) then return results, true, open, {} end -- what follows belongs to another turn
        closed = true
      end
      local others, answers = links(entry)
      if answers and mine[answers] then
        results[#results + 1] = entry
        open[answers] = nil
      elseif others then
        for id in pairs(others) do mine[id] = nil end -- from here on that call's results are another message's
      end
    end
    seen = seen + #page
    if #page < 16 or not next(mine) then break end
    from = '(' .. page[#page][1]
  end
  return results, not (closed and next(open)), open, mine
end

-- Returns who made the call `answers` among the entries down from `to`, and all its calls; nil where there is none.
local function caller_of(log, to, answers)
  local seen = 0
  while seen < UNIT_REACH do
    local page = redis.call('XREVRANGE', log, to, '-', 'COUNT', 16)
    for _, entry in ipairs(page) do
      local calls = links(entry)
      if calls and calls[answers] then return entry, calls end
    end
    seen = seen + #page
    if #page < 16 then return nil end
    to = '(' .. page[#page][1]
  end
end

-- Returns all entries of the unit that an entry is part of, the caller first, and whether it is whole; nil for an entry
-- that is no tool message. A result without its call is a unit of its own, and not whole.
local function unit_of(log, entry)
  local calls, answers = links(entry)
  local caller = entry
  if answers then
    caller, calls = caller_of(log, '(' .. entry[1], answers)
    if not caller then return { entry }, false end
  end
  if not calls then return nil end
  local unit, whole = results_of(log, caller, calls)
  local is_member = not answers
  for _, each in ipairs(unit) do is_member = is_member or each[1] == entry[1] end
  if not is_member then return { entry }, false end -- a second answer to a call that is over
  table.insert(unit, 1, caller)
  return unit, whole
end
