-- For tests: empty all tables. Quicker than TRUNCATE, which makes new files for each of them.
create function public.reset() returns void
language plpgsql security definer set search_path = '' set session_replication_role = 'replica' as $$
declare
    each text;
begin
    for each in
        select format('%I.%I', schemaname, tablename) from pg_catalog.pg_tables
            where schemaname in ('public', 'auth')
    loop
        execute 'delete from ' || each;
    end loop;
end $$;

revoke execute on function public.reset from public, anon, authenticated;
grant execute on function public.reset to service_role;

-- Functions that others than the server may call, or could make do something else.
create function public.functions_open_to_others() returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(string_agg(p.proname, ' '), '') from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and (
            has_function_privilege('anon', p.oid, 'execute')
            or has_function_privilege('authenticated', p.oid, 'execute')
            or p.proconfig is null
            or not 'search_path=""' = any (p.proconfig)
        )
$$;

-- Tables that others may write, that anybody may read, or whose rows are not asked whose they are;
-- and columns that only the server may read.
create function public.tables_open_to_others() returns text
language sql stable security definer set search_path = '' as $$
    with bad as (
        select c.relname::text as name from pg_catalog.pg_class c
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'S') and (
                not c.relrowsecurity
                or has_table_privilege('anon', c.oid, 'select, insert, update, delete, truncate')
                or has_table_privilege('authenticated', c.oid, 'insert, update, delete, truncate')
            )
        union all
        select c.relname || '.' || a.attname
            from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
            where c.relnamespace = 'public'::regnamespace and a.attname like '%hash'
                and has_column_privilege('authenticated', c.oid, a.attnum, 'select')
    )
    select coalesce(string_agg(bad.name, ' ' order by bad.name), '') from bad
$$;

revoke execute on function public.functions_open_to_others, public.tables_open_to_others
    from public, anon, authenticated;
grant execute on function public.functions_open_to_others to service_role;
