#!/bin/sh
# Applies the migrations of a folder that the database has not had, each in one transaction.
# Needs psql and SUPABASE_DB_URL; notes versions where Supabase's own command line does.
set -eu
folder=$1

run() {
    psql "$SUPABASE_DB_URL" --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"
}

run --command 'create schema if not exists supabase_migrations' \
    --command 'create table if not exists supabase_migrations.schema_migrations
               (version text primary key, statements text[], name text)'

for file in "$folder"/*.sql; do
    [ -e "$file" ] || continue
    stem=$(basename "$file" .sql)
    version=${stem%%_*}
    # Jobs of two releases at once wait here for each other.
    {
        echo "begin;"
        echo "lock table supabase_migrations.schema_migrations in exclusive mode;"
        echo "select not exists (select from supabase_migrations.schema_migrations where version = '$version') as new \\gset"
        echo "\\if :new"
        cat "$file"
        echo ";"
        echo "insert into supabase_migrations.schema_migrations (version, name) values ('$version', '${stem#*_}');"
        echo "\\echo applied $stem"
        echo "\\else"
        echo "\\echo kept $stem"
        echo "\\endif"
        echo "commit;"
    } | run --file -
done
