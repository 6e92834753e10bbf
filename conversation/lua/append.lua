-- One group commit. ARGV: ttl_ms, retention_ms of turns, heads, bodies, and the server's name as a
-- witness, its commits, kept_ms. Two long arguments are
-- faster on both sides than thousands of short ones. `heads` is MessagePack, for each write an
-- array of response id, epoch, expected length, sizes of its entries, and the fields of a turn or
-- none, with the size of the last one, its data. `bodies` is all entries and data, one after
-- another (cmsgpack does not read binary strings). Returns one verdict per write, and then the
-- number of the server's commits, with this one.
local lapses, retention_ms = now_ms() + ARGV[1], ARGV[2]
local writes, bodies = cmsgpack.unpack(ARGV[3]), ARGV[4]

-- Before anything is written: what was set back must not have grown again unmarked.
local commits = commits_of(ARGV[5], tonumber(ARGV[6]), ARGV[7]) + 1
redis.call('SET', key('commits', ARGV[5]), commits, 'PX', ARGV[7])

local taken = 0
local function take(size)
  taken = taken + size
  return string.sub(bodies, taken - size + 1, taken)
end

-- Whether these very entries are there: the reply to an earlier attempt was lost.
local function repeated(log, expected, entries)
  local found = redis.call('LRANGE', log, expected, expected + #entries - 1)
  for i = 1, #entries do
    if found[i] ~= entries[i] then return false end
  end
  return #entries > 0
end

local function commit(id, expected, entries, turn)
  local log = key('log', id)
  if redis.call('LLEN', log) ~= expected then
    return repeated(log, expected, entries) and OK or FENCED
  end
  if #turn > 0 then
    local verdict = attach_turn(turn, retention_ms)
    if verdict ~= OK then return verdict end
  end
  if #entries > 0 then redis.call('RPUSH', log, unpack(entries)) end
  return OK
end

local epoch_keys, verdicts, renewed = {}, {}, {}
for i, write in ipairs(writes) do epoch_keys[i] = key('epoch', write[1]) end
local epochs = redis.call('MGET', unpack(epoch_keys))

for i, write in ipairs(writes) do
  local id, epoch, expected, sizes, turn = unpack(write)
  local entries = {}
  for j, size in ipairs(sizes) do entries[j] = take(size) end
  if #turn > 0 then turn[6] = take(turn[6]) end
  verdicts[i] = FENCED
  if tonumber(epochs[i]) == epoch then verdicts[i] = commit(id, expected, entries, turn) end
  if verdicts[i] == OK then
    renewed[#renewed + 1] = lapses
    renewed[#renewed + 1] = id
  end
end
if #renewed > 0 then redis.call('ZADD', LEASES, unpack(renewed)) end
verdicts[#verdicts + 1] = commits
return verdicts
