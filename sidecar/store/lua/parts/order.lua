-- order: message ids are compared as strings: their parts may be larger than a Lua number holds exactly, and have no
-- leading zeros.

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
