-- ARGV: account, conversation id, revision, retention_ms, next revision, head, pending items, their
-- images, and the fields of each turn. Returns a verdict; a repeated call changes nothing.
local account, id, revision, retention_ms, next_revision = unpack(ARGV, 1, 5)
local line = key('conversation', id)
local verdict = free_to_change(line, account, revision)
if verdict == CONFLICT and redis.call('HGET', line, 'revision') == next_revision then return OK end
if verdict ~= OK then return verdict end
redis.call('HSET', line, 'revision', next_revision, 'head', ARGV[6], 'pending', ARGV[7],
  'images', ARGV[8])
redis.call('PEXPIRE', line, retention_ms)
list_as_newest(account, id, retention_ms)
for first = 9, #ARGV, 6 do store_turn({ unpack(ARGV, first, first + 5) }, retention_ms) end
return OK
