-- facts: one page of what a plan may know of the messages, without their texts.
--
-- KEYS  1 log
-- ARGV  1 start of the range, inclusive, or '(' and an id for "after it"
--       2 end of the range, inclusive
--       3 most messages of the page
--       4 most bytes of messages to look at; the page ends with the step that passes it
-- Returns an array: the id to go on after, or '' when the range is exhausted; then for each message its id,
-- role, tokens, its other fields as JSON, or '' where these cannot hold a tool call, its class or '', and the bytes of
-- its text.
--
-- A script not for atomicity (a page is a snapshot of its own; ids up to the end of the range never change
-- under a flush that holds the fence) but because the texts, nearly all of the bytes, stay on the server. It
-- reads in steps of STEP entries, so that large messages neither fill Lua's memory nor hold Redis for long.

local STEP = 50

local log, from, to = KEYS[1], ARGV[1], ARGV[2]
local most, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])

local page, seen, bytes = {''}, 0, 0
while true do
  local step = math.min(STEP, most - seen)
  local entries = redis.call('XRANGE', log, from, to, 'COUNT', step)
  for _, entry in ipairs(entries) do
    local role, tokens, fields, class, text_bytes = '', '0', '', '', 0
    local pairs_ = entry[2]
    for at = 1, #pairs_, 2 do
      local name, value = pairs_[at], pairs_[at + 1]
      bytes = bytes + #value
      if name == 'r' then role = value
      elseif name == 'n' then tokens = value
      elseif name == 'k' then class = value
      elseif name == 'c' then text_bytes = #value
      elseif name == 'x' and string.find(value, 'tool_call', 1, true) then fields = value
      end
    end
    local size = #page
    page[size + 1], page[size + 2], page[size + 3], page[size + 4] = entry[1], role, tokens, fields
    page[size + 5], page[size + 6] = class, text_bytes
  end
  seen = seen + #entries
  if #entries < step then
    return page
  end
  local last = page[#page - 5]
  from = '(' .. last
  if seen >= most or bytes >= most_bytes then
    page[1] = last
    return page
  end
end
