-- ARGV: response id, ttl_ms. Returns the new epoch, or 0 if the response is nobody's work any more.
local id = ARGV[1]
if not redis.call('ZSCORE', LEASES, id) then return 0 end
local epoch = redis.call('INCR', key('epoch', id)) -- What the former owner still writes is fenced.
redis.call('ZADD', LEASES, now_ms() + ARGV[2], id)
return epoch
