-- ARGV: response id, epoch, retention_ms, session id ('' for none). The settled log lives on for its
-- readers.
local id, retention_ms = ARGV[1], ARGV[3]
local epoch = key('epoch', id)
if redis.call('GET', epoch) ~= ARGV[2] then return 0 end
redis.call('INCR', epoch) -- What the releasing owner has still under way is fenced.
redis.call('ZREM', LEASES, id)
redis.call('DEL', key('losses', id))
if ARGV[4] ~= '' then redis.call('SREM', key('live', ARGV[4]), id) end
redis.call('PEXPIRE', epoch, retention_ms)
redis.call('PEXPIRE', key('log', id), retention_ms)
redis.call('PEXPIRE', key('set-back', id), retention_ms)
return 1
