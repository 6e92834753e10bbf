-- ARGV: leases to take, as MessagePack, for each an array of response id, ttl_ms, and the conversation
-- to take with it: account, id ('' for none), revision; the epoch of a reservation's lease (0 for
-- none), which is gone on with; the session in which the response begins ('' where it began before),
-- and how long that is known. Returns for each the epoch and the number of owners that were lost, 0
-- while another owner's lease is alive, or a negative verdict.
local now = now_ms()

local function acquire(id, ttl_ms, account, conversation, revision, own, session, kept_ms)
  local lapses = redis.call('ZSCORE', LEASES, id)
  if own ~= 0 then
    if tonumber(redis.call('GET', key('epoch', id))) ~= own then return 0 end
  elseif lapses and tonumber(lapses) > now then
    return 0
  end
  if session ~= '' and redis.call('EXISTS', key('barred', session)) == 1 then return -BARRED end
  if conversation ~= '' then
    local line = key('conversation', conversation)
    local verdict = free_to_change(line, account, revision)
    if verdict ~= OK then return -verdict end
    redis.call('HSET', line, 'holder', id)
    tell(account, conversation, id)
  end
  if session ~= '' then
    redis.call('SADD', key('live', session), id)
    redis.call('PEXPIRE', key('live', session), kept_ms)
  end
  local losses = key('losses', id)
  if own == 0 and lapses and tonumber(lapses) ~= HANDED_OVER then redis.call('INCR', losses) end
  local epoch = own ~= 0 and own or redis.call('INCR', key('epoch', id))
  -- Whoever owns a response may yet have to settle it: nothing of it may expire.
  redis.call('PERSIST', key('epoch', id))
  redis.call('PERSIST', key('log', id))
  redis.call('PERSIST', key('set-back', id))
  redis.call('ZADD', LEASES, now + ttl_ms, id)
  return {epoch, tonumber(redis.call('GET', losses) or 0)}
end

local found = {}
for i, lease in ipairs(cmsgpack.unpack(ARGV[1])) do found[i] = acquire(unpack(lease)) end
return found
