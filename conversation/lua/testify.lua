-- ARGV: name of a witness, its commits, kept_ms, response id. Returns whether the store was set back
-- while that response was live.
commits_of(ARGV[1], tonumber(ARGV[2]), ARGV[3])
return redis.call('EXISTS', key('set-back', ARGV[4]))
