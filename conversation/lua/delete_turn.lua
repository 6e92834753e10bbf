-- ARGV: account, response id. Returns a verdict.
-- What is left of it links its successors to its ancestors.
local account, id = ARGV[1], ARGV[2]
local record = key('turn', id)
local found = redis.call('HMGET', record, 'account', 'parent', 'conversation', 'data')
if found[1] ~= account or not found[4] then return MISSING end
local line = key('conversation', found[3])
if held(line) then return CONFLICT end
redis.call('HDEL', record, 'data', 'images')
if redis.call('EXISTS', line) == 0 then return OK end
tell(account, found[3])

-- Who read the conversation before may not build on it any more.
redis.call('HSET', line, 'revision', 'without:' .. id)
if redis.call('HGET', line, 'head') == id then
  local head = found[2]
  while head ~= '' and redis.call('HEXISTS', key('turn', head), 'data') == 0 do
    head = redis.call('HGET', key('turn', head), 'parent') or ''
  end
  redis.call('HSET', line, 'head', head)
end
return OK
