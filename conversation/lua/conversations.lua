-- ARGV: account, limit, id after which to begin ('' for none), 'asc' or 'desc'. Returns data, head,
-- pending items, revision and live turn of each conversation in the order of their last use, or false
-- if the named one is not there. What has expired meanwhile leaves the list.
local lines, limit, after = key('conversations', ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local backwards = ARGV[4] == 'desc'
local at = 0
if after ~= '' then
  local rank = redis.call(backwards and 'ZREVRANK' or 'ZRANK', lines, after)
  if not rank then return false end
  at = rank + 1
end
local found, gone = {}, {}
while #found < limit do
  local ids = redis.call(backwards and 'ZREVRANGE' or 'ZRANGE', lines, at, at + limit - 1)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local name = key('conversation', id)
    local line = redis.call('HMGET', name, 'data', 'head', 'pending', 'revision')
    line[3], line[5] = line[3] or '', held(name) or ''
    if not line[1] then
      gone[#gone + 1] = id
    elseif #found < limit then
      found[#found + 1] = line
    end
  end
  at = at + #ids
end
if #gone > 0 then redis.call('ZREM', lines, unpack(gone)) end
return found
