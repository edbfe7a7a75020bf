-- purge: takes marks out of the outbox whose memories are gone, because they have expired.
--
-- KEYS  1 due   2 … meta of each memory
-- ARGV  the names of these memories (members of due), in the same order
-- Returns the names whose marks were taken out.
--
-- Atomic because an append between the look and the removal would make the memory, and its mark, anew.
-- Cost: O(names).

local gone = {}
for at, name in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[at + 1]) == 0 and redis.call('ZREM', KEYS[1], name) == 1 then gone[#gone + 1] = name end
end
return gone
