-- ARGV: account, conversation id, retention_ms. Returns head and data, or nothing.
local line = key('conversation', ARGV[2])
local found = redis.call('HMGET', line, 'account', 'head', 'data')
if found[1] ~= ARGV[1] then return {} end
redis.call('PEXPIRE', line, ARGV[3])
return { found[2], found[3] }
