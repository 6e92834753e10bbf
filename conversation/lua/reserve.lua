-- ARGV: name, fingerprint, response id, ttl_ms of the lease, kept_ms of the name. Returns the
-- lease's epoch; or, where the name is taken, its response id, its fingerprint, and whether its log
-- has begun.
local name, fingerprint, id, now = key('reservation', ARGV[1]), ARGV[2], ARGV[3], now_ms()
local found = redis.call('HMGET', name, 'response', 'fingerprint')
local former = found[1]
if former then
  local started = redis.call('EXISTS', key('log', former))
  local lapses = redis.call('ZSCORE', LEASES, former)
  if started == 1 or (lapses and tonumber(lapses) > now) then
    return {former, found[2], started}
  end
  -- Its owner died before anything was said. Should it live after all, its writes are fenced.
  redis.call('INCR', key('epoch', former))
  redis.call('PEXPIRE', key('epoch', former), ARGV[5])
  redis.call('ZREM', LEASES, former)
end
redis.call('HSET', name, 'response', id, 'fingerprint', fingerprint)
redis.call('PEXPIRE', name, ARGV[5])
redis.call('ZADD', LEASES, now + ARGV[4], id)
return redis.call('INCR', key('epoch', id))
