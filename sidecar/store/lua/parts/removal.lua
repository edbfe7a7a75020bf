-- removal: what follows when messages go by another hand than that of a flush. A flush under way has planned on what
-- was there before, so it loses its fence; its mark stays, and it is tried again. The number grows also without one:
-- copies tell by it whether their source has lost messages.

local function overtake_flush(meta, flush_run)
  redis.call('HINCRBY', meta, 'fence', 1)
  if flush_run then redis.call('HDEL', meta, 'flush_run', 'flush_until') end
end
