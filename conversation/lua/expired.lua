-- ARGV: limit. Returns response ids, longest lapsed first.
return redis.call('ZRANGEBYSCORE', LEASES, '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
