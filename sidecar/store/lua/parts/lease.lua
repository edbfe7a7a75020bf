-- lease: whether somebody else's turn lock keeps this change out.
--
-- `hint` is the field "locked" of meta, which saves the look at the lock itself in all memories that nobody locks. It is
-- gone where the memory has expired under the lease: without a memory the caller passes true.
-- Returns nil where the change may be made, else the refusal: "locked <ms left>" or "stale-lock".

local function lease_refusal(lock, meta, hint, token)
  if not hint then
    if token ~= '' then return 'stale-lock' end
    return nil
  end
  local holder = redis.call('GET', lock)
  if not holder then
    if hint ~= true then redis.call('HDEL', meta, 'locked') end -- after a write Redis would not tell us that it is full
    if token ~= '' then return 'stale-lock' end
    return nil
  end
  if holder == token then return nil end
  if token ~= '' then return 'stale-lock' end
  return 'locked ' .. string.format('%.0f', math.max(1, redis.call('PTTL', lock)))
end
