-- ARGV: account, response id, retention_ms ('0': only looked at), longest chain. Returns the turns' data, newest first;
-- nothing if the turn or one of its ancestors is missing: a history with a hole is none.
-- What is used is kept: turns, their images and their conversation.
local account, id, retention_ms, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local chain, first, steps = {}, true, 0

local function used(name)
  if retention_ms > 0 then keep(name, retention_ms) end
end

while id ~= '' and #chain < limit and steps < 10 * limit do
  steps = steps + 1
  local record = key('turn', id)
  local found = redis.call('HMGET', record, 'account', 'parent', 'conversation', 'images', 'data')
  if found[1] ~= account then return {} end
  local data = found[5]
  if first and not data then return {} end
  first = false
  used(record)
  if data then -- Otherwise the turn was deleted, and those around it go on without it.
    chain[#chain + 1] = data
    used(key('conversation', found[3]))
    for image in string.gmatch(found[4], '%S+') do
      used(key('image', account .. ':' .. image))
    end
  end
  id = found[2]
end
return chain
