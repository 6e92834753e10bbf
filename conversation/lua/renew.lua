-- ARGV: ttl_ms (0 hands over), then response id and epoch of each lease. Returns 1 or 0 for each.
local lapses, renewed = ARGV[1] == '0' and HANDED_OVER or now_ms() + ARGV[1], {}
for i = 2, #ARGV, 2 do
  local ours = redis.call('GET', key('epoch', ARGV[i])) == ARGV[i + 1]
  if ours then redis.call('ZADD', LEASES, lapses, ARGV[i]) end
  renewed[#renewed + 1] = ours and 1 or 0
end
return renewed
