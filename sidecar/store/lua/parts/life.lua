-- life: how long a memory lives, and who is told that it has changed.

-- The definition has lost its ttl since the memory was written: it never expires from now on.
local function live_on(log, meta, keep)
  redis.call('PERSIST', log)
  redis.call('PERSIST', meta)
  redis.call('PERSIST', keep)
  redis.call('HDEL', meta, 'ttl')
end

-- Tells those who wait for this memory. A user without the right to the channel can do everything else; then those
-- who wait look by themselves.
local function wake(meta)
  redis.pcall('PUBLISH', (string.gsub(meta, ':meta:', ':wake:', 1)), 'append')
end
