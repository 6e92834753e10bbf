-- ARGV: limit. Returns response ids, longest lapsed first, the time in ms, and how many ms are left
-- until the next lease lapses, -1 if none is held.
local now = now_ms()
local lapsed = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, ARGV[1])
local following = redis.call('ZRANGEBYSCORE', LEASES, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {lapsed, now, following[2] and tonumber(following[2]) - now or -1}
