-- ARGV: account, conversation id, data, retention_ms. Returns a verdict.
local line = key('conversation', ARGV[2])
if redis.call('HGET', line, 'account') ~= ARGV[1] then return MISSING end
redis.call('HSET', line, 'data', ARGV[3])
redis.call('PEXPIRE', line, ARGV[4])
tell(ARGV[1], ARGV[2])
return OK
