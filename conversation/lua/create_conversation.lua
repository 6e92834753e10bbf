-- ARGV: conversation id, account, data, retention_ms. Returns a verdict.
local line = key('conversation', ARGV[1])
if redis.call('EXISTS', line) == 1 then
  return redis.call('HGET', line, 'data') == ARGV[3] and OK or CONFLICT
end
redis.call('HSET', line, 'account', ARGV[2], 'data', ARGV[3], 'head', '', 'revision', '')
redis.call('PEXPIRE', line, ARGV[4])
list_as_newest(ARGV[2], ARGV[1], ARGV[4])
return OK
