-- Prepended to every script. KEYS[1] is the prefix of all keys with its cluster tag: a script
-- touches one slot, and the names of its keys are derived here.
local OK, FENCED, CONFLICT, MISSING, BARRED = 0, 1, 2, 3, 4

local function key(kind, id)
  return KEYS[1] .. kind .. ':' .. id
end

local LEASES = KEYS[1] .. 'leases' -- response id by the time (Unix ms) at which its lease lapses
local HANDED_OVER = 0 -- in place of that time: its owner let it go

-- The clock of the store, to the microsecond.
local function precisely_now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end

-- Leases live by the clock of the store, so that no two owners disagree about it.
local function now_ms()
  return math.floor(precisely_now_ms())
end

-- What is read lives on. If that was said of it within a hundredth of the time, nothing is written,
-- which whoever reads would wait for.
local function keep(name, retention_ms)
  if math.abs(redis.call('PTTL', name) - retention_ms) > retention_ms / 100 then
    redis.call('PEXPIRE', name, retention_ms)
  end
end

-- How many commits of a server the store has. If these are fewer than it knows to be acknowledged, the
-- store was set back to an older state, and what is live in that is marked: it may go on otherwise than
-- it once did.
local function commits_of(witness, known, kept_ms)
  local count = key('commits', witness)
  local found = tonumber(redis.call('GET', count) or 0)
  if found >= known then return found end
  redis.log(redis.LOG_WARNING, 'kosmosx: the store was set back: acknowledged commits are missing')
  for _, id in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    -- What has said nothing yet has no readers either.
    if redis.call('EXISTS', key('log', id)) == 1 then redis.call('SET', key('set-back', id), 1) end
  end
  redis.call('SET', count, known, 'PX', kept_ms)
  return known
end

-- A turn that took a conversation holds it until it is attached there, or until its lease is
-- released; a lapsed lease is waiting to be taken over.
local function held(line)
  local holder = redis.call('HGET', line, 'holder')
  return holder and redis.call('ZSCORE', LEASES, holder) and holder
end

-- Whether what was read of the conversation still holds, and no live turn builds on it.
local function free_to_change(line, account, revision)
  local found = redis.call('HMGET', line, 'account', 'revision')
  if found[1] ~= account then return MISSING end
  if held(line) or found[2] ~= revision then return CONFLICT end
  return OK
end

-- Tell whoever looks on that a conversation has changed, or (with a response) that one begins in it.
-- A hint that may get lost: what is true is in the hashes.
local function tell(account, conversation, response, deleted)
  redis.call('PUBLISH', KEYS[1] .. 'conversation-news',
    cjson.encode({ account, conversation, response or '', deleted or false }))
end

-- The account's newest conversation is now this one; many may be used in the same ms.
local function list_as_newest(account, conversation, retention_ms)
  local lines = key('conversations', account)
  redis.call('ZADD', lines, precisely_now_ms(), conversation)
  redis.call('PEXPIRE', lines, retention_ms)
  tell(account, conversation)
end

-- turn: id, account, parent, conversation, images, data ('' where there is none)
local function store_turn(turn, retention_ms)
  local id, account, parent, conversation, images, data = unpack(turn)
  local record = key('turn', id)
  redis.call('HSET', record, 'account', account, 'parent', parent,
    'conversation', conversation, 'images', images, 'data', data)
  redis.call('PEXPIRE', record, retention_ms)
end

-- Store a turn and move its conversation's head to it; a repeated call changes nothing.
local function attach_turn(turn, retention_ms)
  local id, account, parent, conversation, _, data = unpack(turn)
  local record = key('turn', id)
  if redis.call('EXISTS', record) == 1 then
    return redis.call('HGET', record, 'data') == data and OK or CONFLICT
  end
  if conversation ~= '' then
    local line = key('conversation', conversation)
    local found = redis.call('HMGET', line, 'account', 'head')
    if found[1] ~= account then return MISSING end
    -- Nothing has changed it since a turn took it: that one may also follow an earlier turn.
    local holder = held(line)
    if holder ~= id and (holder or (found[2] or '') ~= parent) then return CONFLICT end
    -- It took up what was pending, and lets the next turn in.
    redis.call('HDEL', line, 'pending', 'images', 'holder')
    redis.call('HSET', line, 'head', id, 'revision', id)
    redis.call('PEXPIRE', line, retention_ms)
    list_as_newest(account, conversation, retention_ms)
  end
  store_turn(turn, retention_ms)
  return OK
end
