-- swap: a log that was made anew, in pieces and beside the old one, takes its place at once. Needs the part `ids`.

local TAIL = 100 -- entries that came since the last piece; more of them are copied in pieces of their own

-- Copies what was appended to `log` behind the id `cursor` to `next`. Returns the tokens of these entries, or nil where
-- there are too many for one script. Only `next` is written; a script that refuses after it has changed no memory.
local function copy_tail(log, next, cursor)
  local tail, tokens = redis.call('XRANGE', log, '(' .. cursor, '+', 'COUNT', TAIL + 1), 0
  if #tail > TAIL then return nil end
  for _, entry in ipairs(tail) do
    redis.call('XADD', next, entry[1], unpack(entry[2]))
    tokens = tokens + (tonumber(entry[2][6]) or 0)
  end
  return tokens
end

-- The old log is unlinked first, because RENAME would free it at once, which takes long; its last id goes over, so that
-- ids stay increasing. All keys of the memory end at one moment: a log that ends a millisecond before its totals would
-- leave them wrong.
local function swap(log, next, meta, keep)
  local left_ms = redis.call('PTTL', meta)
  redis.call('XSETID', next, last_id(log))
  redis.call('UNLINK', log)
  redis.call('RENAME', next, log)
  if left_ms < 0 then
    redis.call('PERSIST', log)
    return
  end
  local time = redis.call('TIME')
  local ends = time[1] * 1000 + math.floor(time[2] / 1000) + left_ms
  for _, key in ipairs({log, meta, keep}) do redis.call('PEXPIREAT', key, ends) end
end
