-- ARGV: retention_ms, the fields of the turn. Returns a verdict.
return attach_turn({ unpack(ARGV, 2) }, ARGV[1])
