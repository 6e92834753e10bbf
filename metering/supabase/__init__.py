"""The ports on PostgreSQL, reached through Supabase. For any number of hosts."""
