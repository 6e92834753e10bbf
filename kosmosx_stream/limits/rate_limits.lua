#!lua flags=allow-oom
-- The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it is
-- full again (`tat`, Unix µs). All buckets give what is asked of them, or none does.
-- KEYS: the buckets. ARGV: the period in µs, then for each bucket its size, what is asked of it, and
-- whether it must be in there (1), or may be owed (0). A request larger than a bucket needs a full
-- one. Returns for each bucket: whether it had enough, what is left, µs until there would be enough,
-- µs until it is full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local period = tonumber(ARGV[1])
local answers, tats, enough = {}, {}, true
for i, bucket in ipairs(KEYS) do
  local size, asked, must = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1] == '1'
  local each = period / size
  local tat = math.max(tonumber(redis.call('GET', bucket) or 0), now)
  local full = tat + math.min(asked, size) * each - period
  local has = not must or full <= now
  enough = enough and has
  tats[i] = {tat, tat + asked * each, each}
  answers[i] = {has and 1 or 0, 0, math.max(0, math.ceil(full - now)), 0}
end
for i, bucket in ipairs(KEYS) do
  local tat = enough and tats[i][2] or tats[i][1]
  if enough and tat > now then
    redis.call('SET', bucket, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
  end
  answers[i][2] = math.max(0, math.floor((now + period - tat) / tats[i][3] + 0.000001))
  answers[i][4] = math.max(0, math.ceil(tat - now))
end
return answers
