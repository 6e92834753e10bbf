-- ARGV: account, response id, retention_ms, longest chain. Returns the turns' data, newest first;
-- nothing if the turn or one of its ancestors is missing: a history with a hole is none.
-- What is used is kept: turns, their images and their conversation.
local account, id, retention_ms, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local chain, first, steps = {}, true, 0
while id ~= '' and #chain < limit and steps < 10 * limit do
  steps = steps + 1
  local record = key('turn', id)
  local found = redis.call('HMGET', record, 'account', 'parent', 'conversation', 'images', 'data')
  if found[1] ~= account then return {} end
  local data = found[5]
  if first and not data then return {} end
  first = false
  redis.call('PEXPIRE', record, retention_ms)
  if data then -- Otherwise the turn was deleted, and those around it go on without it.
    chain[#chain + 1] = data
    redis.call('PEXPIRE', key('conversation', found[3]), retention_ms)
    for image in string.gmatch(found[4], '%S+') do
      redis.call('PEXPIRE', key('image', account .. ':' .. image), retention_ms)
    end
  end
  id = found[2]
end
return chain
