-- repeats: a change that is sent again, because the connection broke before its reply, is recognised and not made
-- twice. Each sidecar numbers its changes of a memory and has one under way at a time; meta keeps the number and the
-- reply of its last one in the field "op:<sidecar id>", as "<number>:<time ms>:<reply>".

local FORGET_MS = 3600000 -- a change is resent within seconds; after an hour nobody will

-- Returns the reply of this very change if it was made before, else nil; and an error reply for one that was given up
-- and arrives when a later one is made already: making it would hide that one's number.
local function earlier_reply(op_value, number)
  if not op_value then return nil end
  local stored, reply = string.match(op_value, '^(%d+):%d+:(.*)$')
  if stored == number then return reply end
  if stored and tonumber(stored) > tonumber(number) then
    return nil, redis.error_reply('ERR batch ' .. number .. ' comes after batch ' .. stored .. '; nothing was stored')
  end
end

local function op_value(number, now, reply)
  return number .. ':' .. string.format('%.0f', now) .. ':' .. reply
end

-- Called when a sidecar changes this memory for the first time: forgets those that did so long ago.
local function forget_others(meta, now)
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    if string.sub(field, 1, 3) == 'op:' then
      local at_ms = string.match(redis.call('HGET', meta, field), '^%d+:(%d+):')
      if now - tonumber(at_ms or 0) > FORGET_MS then redis.call('HDEL', meta, field) end
    end
  end
end
