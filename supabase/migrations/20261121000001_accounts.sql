-- Accounts and their keys.
--
-- The server alone writes, with the service key and through functions: each is one transaction, and
-- may be called again. They take and give what is compound as text of JSON, because a number above
-- 2^53 does not survive every JSON parser on the way. People who are signed in read what is theirs.
--
-- Times are Unix seconds; money is in whole micro-dollars. Ids compare as bytes (collate "C").

create table public.accounts (
    id text collate "C" primary key,
    name text not null,
    created_at double precision not null,
    -- The person of Supabase Auth who may read the account.
    user_id uuid unique
);

create table public.api_keys (
    id text collate "C" primary key,
    account_id text collate "C" not null references public.accounts (id),
    hash bytea not null,
    label text not null,
    created_at double precision not null,
    revoked_at double precision
);
create index api_keys_of_account on public.api_keys (account_id, created_at, id);

revoke all on public.accounts, public.api_keys from public, anon, authenticated;
grant select on public.accounts to authenticated;
-- Not the hash of a key.
grant select (id, account_id, label, created_at, revoked_at) on public.api_keys to authenticated;
alter table public.accounts enable row level security;
alter table public.api_keys enable row level security;
create policy own_account on public.accounts for select to authenticated
    using (user_id = (select auth.uid()));
create policy own_keys on public.api_keys for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));


-- The newest migration says its number.
create function public.schema_version() returns integer
language sql immutable security definer set search_path = '' as $$ select 1 $$;

-- Conditions that the caller distinguishes: PT404, it is not there, and PT409, it is closed. PostgREST
-- answers them with the HTTP status in the code.

create function public.account(account_id text) returns text
language plpgsql security definer set search_path = '' as $$
declare
    found_account text;
begin
    select row_to_json(a) into found_account from public.accounts a where a.id = account_id;
    if not found then
        raise exception 'account %', account_id using errcode = 'PT404';
    end if;
    return found_account;
end $$;

create function public.create_account(record text) returns text
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.accounts (id, name, created_at)
        select id, name, created_at from json_populate_record(null::public.accounts, record::json)
        on conflict (id) do nothing;
    return public.account(record::json ->> 'id');
end $$;

create function public.key_json(key public.api_keys) returns text
language sql stable security definer set search_path = '' as $$
    select jsonb_set(to_jsonb(key), '{hash}', to_jsonb(encode(key.hash, 'base64')))::text
$$;

-- Null where there is none.
create function public.find_key(key_id text) returns text
language sql stable security definer set search_path = '' as $$
    select public.key_json(k) from public.api_keys k where k.id = key_id
$$;

create function public.create_key(record text) returns text
language plpgsql security definer set search_path = '' as $$
declare
    given jsonb := record::jsonb;
begin
    perform public.account(given ->> 'account_id');
    insert into public.api_keys (id, account_id, hash, label, created_at, revoked_at) values (
        given ->> 'id',
        given ->> 'account_id',
        decode(given ->> 'hash', 'base64'),
        given ->> 'label',
        (given ->> 'created_at')::double precision,
        (given ->> 'revoked_at')::double precision
    ) on conflict (id) do nothing;
    return public.find_key(given ->> 'id');
end $$;

create function public.list_keys(account_id text) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(public.key_json(k)::json order by k.created_at, k.id), '[]')::text
        from public.api_keys k where k.account_id = list_keys.account_id
$$;

create function public.revoke_key(key_id text, at double precision) returns text
language plpgsql security definer set search_path = '' as $$
begin
    update public.api_keys k set revoked_at = coalesce(k.revoked_at, at) where k.id = key_id;
    if not found then
        raise exception 'key %', key_id using errcode = 'PT404';
    end if;
    return public.find_key(key_id);
end $$;

revoke execute on function
    public.schema_version, public.account, public.create_account, public.key_json, public.find_key,
    public.create_key, public.list_keys, public.revoke_key
from public, anon, authenticated;
grant execute on function
    public.schema_version, public.account, public.create_account, public.find_key,
    public.create_key, public.list_keys, public.revoke_key
to service_role;

notify pgrst, 'reload schema';
