-- unlock: releases the lease on a memory, and wakes those who wait for it.
--
-- KEYS  1 meta   2 lock
-- ARGV  1 token   2 channel
-- Returns 1, or 0 when the token did not hold the lease any more.
--
-- Atomic because a lease that ran out may be another one's by the time it is deleted.

if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[1], 'locked')
-- A user without the right to the channel may unlock all the same; then those who wait look by themselves.
redis.pcall('PUBLISH', ARGV[2], 'unlock')
return 1
