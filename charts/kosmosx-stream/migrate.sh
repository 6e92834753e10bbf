#!/bin/sh
# Applies the migrations of a folder that the database has not had, each in one transaction.
# Needs psql and SUPABASE_DB_URL; notes versions where Supabase's own command line does.
set -eu
folder=$1

run() {
    psql "$SUPABASE_DB_URL" --no-psqlrc --quiet --tuples-only --set ON_ERROR_STOP=1 "$@"
}

# One migration as psql reads it: left out if its version is noted, noted if it is applied.
transaction() {
    stem=$(basename "$1" .sql)
    version=${stem%%_*}
    cat <<END
begin;
-- Jobs of two releases at once wait here for each other.
lock table supabase_migrations.schema_migrations in exclusive mode;
select not exists (select from supabase_migrations.schema_migrations where version = '$version') as new \\gset
\\if :new
\\i '$1'
;
insert into supabase_migrations.schema_migrations (version, name) values ('$version', '${stem#*_}');
\\echo applied $stem
\\else
\\echo kept $stem
\\endif
commit;
END
}

# "if not exists" is no protection from another job that is just making the same.
run --single-transaction --output /dev/null \
    --command 'set client_min_messages = warning' \
    --command "select pg_advisory_xact_lock(hashtext('supabase_migrations'))" \
    --command 'create schema if not exists supabase_migrations' \
    --command 'create table if not exists supabase_migrations.schema_migrations
               (version text primary key, statements text[], name text)'

for file in "$folder"/*.sql; do
    [ -e "$file" ] || continue
    transaction "$file" | run --file -
done
