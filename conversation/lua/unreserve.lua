-- ARGV: name, response id, epoch, retention_ms. Frees the name of a response that never began.
local name, id, epoch = key('reservation', ARGV[1]), ARGV[2], key('epoch', ARGV[2])
if redis.call('GET', epoch) ~= ARGV[3] or redis.call('EXISTS', key('log', id)) == 1 then return 0 end
if redis.call('HGET', name, 'response') == id then redis.call('DEL', name) end
redis.call('INCR', epoch) -- What the owner has still under way is fenced.
redis.call('PEXPIRE', epoch, ARGV[4])
redis.call('ZREM', LEASES, id)
return 1
