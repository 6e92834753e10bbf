-- ARGV: response id, ttl_ms. Returns the new epoch, or 0 while another owner's lease is alive.
local id, now = ARGV[1], now_ms()
local lapses = redis.call('ZSCORE', LEASES, id)
if lapses and tonumber(lapses) > now then return 0 end
local epoch = redis.call('INCR', key('epoch', id))
-- Whoever owns a response may yet have to settle it: nothing of it may expire.
redis.call('PERSIST', key('epoch', id))
redis.call('PERSIST', key('log', id))
redis.call('ZADD', LEASES, now + ARGV[2], id)
return epoch
