-- clear: deletes a memory with everything that belongs to it, its place in the outbox included. One script, so that
-- no append can fall between the deletions and leave a log without totals.
--
-- KEYS  1 log   2 meta   3 keep   4 work   5 due
-- ARGV  1 the memory's name (member of due)
-- Returns the number of messages that were removed, 0 for a memory that does not exist.
-- Cost: O(1) here; UNLINK frees the memory in the background.

local removed = redis.call('XLEN', KEYS[1])
redis.call('ZREM', KEYS[5], ARGV[1]) -- first, because it fails on an outbox of another type; UNLINK never fails
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return removed
