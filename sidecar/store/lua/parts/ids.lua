-- ids: message ids stay strictly increasing within a memory when the stream itself is replaced, or deleted and made
-- anew, and the clock has stepped back meanwhile.

-- Returns the last id that a stream has given, be that entry there or not; nil without a stream.
local function last_id(log)
  local facts = redis.pcall('XINFO', 'STREAM', log)
  for at = 1, #facts - 1, 2 do
    if facts[at] == 'last-generated-id' then return facts[at + 1] end
  end
end

-- Returns what XADD is to be given so that the new id is greater than `floor`.
local function id_behind(floor, now)
  local ms, sequence = string.match(floor, '^(%d+)-(%d+)$')
  if now > tonumber(ms) then return '*' end
  return ms .. '-' .. string.format('%.0f', tonumber(sequence) + 1)
end
