-- ARGV: limit, name of a witness. Returns response ids, longest lapsed first, the time in ms, how many
-- ms are left until the next lease lapses, -1 if none is held, and how many commits of the witness there
-- are.
local now = now_ms()
local lapsed = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, ARGV[1])
local following = redis.call('ZRANGEBYSCORE', LEASES, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local commits = tonumber(redis.call('GET', key('commits', ARGV[2])) or 0)
return {lapsed, now, following[2] and tonumber(following[2]) - now or -1, commits}
