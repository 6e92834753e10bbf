-- ARGV: conversation id, account, head, data, retention_ms. Returns a verdict.
local line = key('conversation', ARGV[1])
if redis.call('EXISTS', line) == 1 then
  return redis.call('HGET', line, 'data') == ARGV[4] and OK or CONFLICT
end
redis.call('HSET', line, 'account', ARGV[2], 'head', ARGV[3], 'data', ARGV[4])
redis.call('PEXPIRE', line, ARGV[5])
return OK
