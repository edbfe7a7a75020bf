-- room: the oldest messages go to make room for new ones (`overflow: trim`). Instructions, pins and critical messages
-- stay (they are in keep), and tool calls go with their results. Needs the parts `units` and `removal`.
--
-- Returns the ids that go, their number and their tokens; nil where even all that may go is not enough.
-- Cost: O(messages that go + kept ones that are older).

local ROOM_PAGE = 16   -- a memory at its limit mostly loses one or two messages per append
local ROOM_CHUNK = 5000 -- Lua's `unpack` takes at most about 8,000 values

local function oldest_for(log, keep, need_messages, need_tokens)
  local ids, count, tokens, decided, from = {}, 0, 0, {}, '-'
  while count < need_messages or tokens < need_tokens do
    local page = redis.call('XRANGE', log, from, '+', 'COUNT', ROOM_PAGE)
    for _, entry in ipairs(page) do
      if not decided[entry[1]] then
        local unit = unit_of(log, entry) or { entry }
        local stays = false
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
