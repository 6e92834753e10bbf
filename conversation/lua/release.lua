-- ARGV: leases to give up, as MessagePack, for each an array of response id, epoch, retention_ms, and
-- session id ('' for none). The settled logs live on for their readers. Returns 1 for each, or 0
-- where the lease was another owner's.
local function release(id, own, retention_ms, session)
  local epoch = key('epoch', id)
  if tonumber(redis.call('GET', epoch)) ~= own then return 0 end
  redis.call('INCR', epoch) -- What the releasing owner has still under way is fenced.
  redis.call('ZREM', LEASES, id)
  redis.call('DEL', key('losses', id))
  if session ~= '' then redis.call('SREM', key('live', session), id) end
  redis.call('PEXPIRE', epoch, retention_ms)
  redis.call('PEXPIRE', key('log', id), retention_ms)
  redis.call('PEXPIRE', key('set-back', id), retention_ms)
  return 1
end

local given = {}
for i, lease in ipairs(cmsgpack.unpack(ARGV[1])) do given[i] = release(unpack(lease)) end
return given
