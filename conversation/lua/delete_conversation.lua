-- ARGV: account, conversation id. Returns a verdict. The turns stay, and live on by themselves.
local line = key('conversation', ARGV[2])
if redis.call('HGET', line, 'account') ~= ARGV[1] then return MISSING end
if held(line) then return CONFLICT end
redis.call('DEL', line)
redis.call('ZREM', key('conversations', ARGV[1]), ARGV[2])
tell(ARGV[1], ARGV[2], '', true)
return OK
