-- purge: takes marks out of the outbox whose memories are gone, because they have expired.
--
-- KEYS  1 due   2 … meta of each memory
-- ARGV  the names of these memories (members of due), in the same order
-- Returns the number of marks that were taken out.
--
-- Atomic because an append between the look and the removal would make the memory, and its mark, anew.
-- Cost: O(names).

local gone = 0
for at, name in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[at + 1]) == 0 then gone = gone + redis.call('ZREM', KEYS[1], name) end
end
return gone
