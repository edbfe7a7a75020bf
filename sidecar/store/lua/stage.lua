-- stage: lays a plan, or the summary that it asks for, or a part of that summary, aside until the commit.
--
-- KEYS  1 meta   2 work   3 aside   4 brief   5 next
-- ARGV  1 run id, 2 epoch, 3 fence
--       4 how long the work is kept, in ms
--       5 'plan', 'partial' or 'summary'
--       6 the plan as JSON, or the text of the summary, or of its first part
--       7 with a summary: its tokens; with a part of one: for how many of the messages it stands
-- Returns an array whose first element is one of
--   'staged'       with a plan: the plan that counts, which is the first one of this run
--   'stale-epoch'  the memory is gone, or cleared since the begin
--   'stale-fence'  a later flush has begun, or this one was given up
--   'lost-plan'    the plan that the summary belongs to has expired
-- With the last three nothing was changed.
--
-- Atomic because a run that was overtaken while it worked must not overwrite the work of the one that took
-- over. A run's first plan is final, because a summary must be that of the messages which the commit removes,
-- and a step that is executed twice could plan differently (another process, another configuration).

local meta, work = KEYS[1], KEYS[2]
local run, kept_ms, kind, value, number = ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local state = redis.call('HMGET', meta, 'epoch', 'fence', 'flush_run')
if state[1] ~= ARGV[2] then
  return {'stale-epoch'}
end
if state[2] ~= ARGV[3] or state[3] ~= run then
  return {'stale-fence'}
end

local staged = redis.call('HMGET', work, 'run', 'plan')
local plan = staged[1] == run and staged[2]
if kind == 'plan' then
  if not plan then
    plan = value
    redis.call('UNLINK', work, KEYS[3], KEYS[4], KEYS[5]) -- what an earlier run left behind
    redis.call('HSET', work, 'run', run, 'plan', plan)
  end
elseif not plan then
  return {'lost-plan'}
elseif kind == 'partial' then
  redis.call('HSET', work, 'partial', value, 'partial_messages', number)
else
  redis.call('HSET', work, 'summary', value, 'summary_tokens', number)
  redis.call('HDEL', work, 'partial', 'partial_messages')
end
redis.call('PEXPIRE', work, kept_ms)
return {'staged', plan}
