-- repeats: a change that is sent again, because the connection broke before its reply, is recognised and not made
-- twice. Each sidecar numbers its changes of a memory and has one under way at a time; meta keeps the number and the
-- reply of its last one in the field "op:<sidecar id>", as `number .. ':' .. now .. ':' .. reply`.

-- Returns the reply of this very change if it was made before, else nil; and an error reply for one that was given up
-- and arrives when a later one is made already: making it would hide that one's number.
local function earlier_reply(kept, number)
  if not kept then return nil end
  local stored, reply = string.match(kept, '^(%d+):%d+:(.*)$')
  if stored == number then return reply end
  if stored and tonumber(stored) > tonumber(number) then
    return nil, redis.error_reply('ERR batch ' .. number .. ' comes after batch ' .. stored .. '; nothing was stored')
  end
end
