-- forgetting: the fields of meta in which sidecars keep their last change (see `repeats`) go when they are old.

local FORGET_MS = 3600000 -- a change is resent within seconds; after an hour nobody will

-- Called when a sidecar changes this memory for the first time: forgets those that did so long ago.
local function forget_others(meta, now)
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    if string.sub(field, 1, 3) == 'op:' then
      local at_ms = string.match(redis.call('HGET', meta, field), '^%d+:(%d+):')
      if now - tonumber(at_ms or 0) > FORGET_MS then redis.call('HDEL', meta, field) end
    end
  end
end
