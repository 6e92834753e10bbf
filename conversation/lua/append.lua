-- One group commit. ARGV: ttl_ms, retention_ms of turns, number of writes, the response id of each
-- write, then for each: epoch, expected, number of entries, entries, and 0 or 6 fields of a turn
-- behind their number. Returns one verdict per write.
local ttl_ms, retention_ms, writes = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lapses = now_ms() + ttl_ms
local epoch_keys, verdicts, renewed = {}, {}, {}

for i = 1, writes do epoch_keys[i] = key('epoch', ARGV[3 + i]) end
local epochs = redis.call('MGET', unpack(epoch_keys))

-- Whether these very entries are there: the reply to an earlier attempt was lost.
local function repeated(log, expected, first, count)
  if count == 0 then return false end
  local found = redis.call('LRANGE', log, expected, expected + count - 1)
  for i = 1, count do
    if found[i] ~= ARGV[first + i - 1] then return false end
  end
  return true
end

local function commit(id, expected, first, count, turn)
  local log = key('log', id)
  if redis.call('LLEN', log) ~= expected then
    return repeated(log, expected, first, count) and OK or FENCED
  end
  if turn then
    local verdict = attach_turn(turn, retention_ms)
    if verdict ~= OK then return verdict end
  end
  if count > 0 then redis.call('RPUSH', log, unpack(ARGV, first, first + count - 1)) end
  return OK
end

local at = 4 + writes
for i = 1, writes do
  local id, expected, count = ARGV[3 + i], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local first = at + 3
  local fields = tonumber(ARGV[first + count])
  local turn = fields > 0 and { unpack(ARGV, first + count + 1, first + count + fields) } or nil
  verdicts[i] = FENCED
  if epochs[i] == ARGV[at] then verdicts[i] = commit(id, expected, first, count, turn) end
  if verdicts[i] == OK then
    renewed[#renewed + 1] = lapses
    renewed[#renewed + 1] = id
  end
  at = first + count + fields + 1
end
if #renewed > 0 then redis.call('ZADD', LEASES, unpack(renewed)) end
return verdicts
