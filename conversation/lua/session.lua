-- ARGV: session id, barred_ms. Returns the responses that have begun in the session and were not
-- released. For so long no other begins in it; 0 only looks.
local members, barred_ms = key('live', ARGV[1]), tonumber(ARGV[2])
if barred_ms > 0 then redis.call('SET', key('barred', ARGV[1]), '', 'PX', barred_ms) end
local live = {}
for _, id in ipairs(redis.call('SMEMBERS', members)) do
  if redis.call('ZSCORE', LEASES, id) then live[#live + 1] = id end
end
return live
