-- ARGV: account, conversation id, retention_ms. Returns data, head, pending items, revision and
-- the live turn, or nothing. What is used is kept: the images of what is pending, too.
local account, line, retention_ms = ARGV[1], key('conversation', ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HMGET', line, 'account', 'images', 'data', 'head', 'pending', 'revision')
if found[1] ~= account then return {} end
keep(line, retention_ms)
keep(key('conversations', account), retention_ms)
for image in string.gmatch(found[2] or '', '%S+') do
  keep(key('image', account .. ':' .. image), retention_ms)
end
return { found[3], found[4], found[5] or '', found[6], held(line) or '' }
