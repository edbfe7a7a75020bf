-- probe: shows that Redis can be used: writes a key, reads it and deletes it.
--
-- KEYS  1 a key of our own, which is there only while this runs
-- ARGV  1 value   2 milliseconds after which Redis drops it, should it ever outlive this
-- Returns the value as it was read.
--
-- Atomic so that any number of processes may probe with one key, and nobody ever sees it.

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local read = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return read
