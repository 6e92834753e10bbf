-- Accounts and their keys.
--
-- The server alone writes, with the service key and through functions: each is one transaction, and
-- may be called again. They take and give what is compound as text of JSON, because a number above
-- 2^53 does not survive every JSON parser on the way. People who are signed in read what is theirs.
--
-- Times are Unix seconds; money is in whole micro-dollars. Ids compare as bytes (collate "C").

create type public.key_scope as enum ('generate', 'read', 'usage', 'manage');

create table public.accounts (
    id text collate "C" primary key,
    name text not null,
    created_at double precision not null,
    email text collate "C" unique,
    password_hash text,
    plan text not null default 'dedicated',
    deleted_at double precision,
    erased_at double precision,
    -- The person of Supabase Auth who may read the account.
    user_id uuid unique
);
create index accounts_by_age on public.accounts (created_at, id) where deleted_at is null;
create index accounts_to_erase on public.accounts (deleted_at) where erased_at is null;

create table public.api_keys (
    id text collate "C" primary key,
    account_id text collate "C" not null references public.accounts (id),
    hash bytea not null,
    label text not null,
    created_at double precision not null,
    scopes public.key_scope[] not null,
    expires_at double precision,
    revoked_at double precision,
    last_used_at double precision,
    successor_id text collate "C" references public.api_keys (id)
);
create index api_keys_of_account on public.api_keys (account_id, created_at, id);

revoke all on public.accounts, public.api_keys from public, anon, authenticated;
-- No hashes.
grant select (id, name, created_at, email, plan, user_id) on public.accounts to authenticated;
grant select (
    id, account_id, label, created_at, scopes, expires_at, revoked_at, last_used_at, successor_id
) on public.api_keys to authenticated;
alter table public.accounts enable row level security;
alter table public.api_keys enable row level security;
create policy own_account on public.accounts for select to authenticated
    using (user_id = (select auth.uid()));
create policy own_keys on public.api_keys for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));


-- The newest migration says its number.
create function public.schema_version() returns integer
language sql immutable security definer set search_path = '' as $$ select 1 $$;

-- Conditions that the caller distinguishes: PT404, there is no such thing, and PT409 with the reason
-- as detail. PostgREST answers them with the HTTP status in the code.


-- Accounts.

create function public.account_json(account public.accounts) returns text
language sql immutable security definer set search_path = '' as $$
    select json_build_object(
        'id', account.id, 'name', account.name, 'created_at', account.created_at,
        'email', account.email, 'plan', account.plan, 'deleted_at', account.deleted_at
    )::text
$$;

create function public.account(account_id text) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
    found_account text;
begin
    select public.account_json(a) into found_account from public.accounts a where a.id = account_id;
    if not found then
        raise exception 'account %', account_id using errcode = 'PT404';
    end if;
    return found_account;
end $$;

-- There is such an account, and it is not deleted before this transaction ends.
create function public.require_active_account(account_id text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.accounts a where a.id = account_id and a.deleted_at is null for share;
    if not found then
        raise exception 'account %', account_id using errcode = 'PT404';
    end if;
end $$;

create function public.create_account(record text, password_hash text) returns text
language plpgsql security definer set search_path = '' as $$
declare
    given public.accounts := json_populate_record(null::public.accounts, record::json);
begin
    given.password_hash := create_account.password_hash;
    insert into public.accounts values (given.*) on conflict do nothing;
    if not found and not exists (select from public.accounts a where a.id = given.id) then
        raise exception 'email' using errcode = 'PT409', detail = 'email_taken';
    end if;
    return public.account(given.id);
end $$;

create function public.set_plan(account_id text, plan text) returns text
language plpgsql security definer set search_path = '' as $$
begin
    update public.accounts a set plan = set_plan.plan
        where a.id = account_id and a.deleted_at is null;
    if not found then
        raise exception 'account %', account_id using errcode = 'PT404';
    end if;
    return public.account(account_id);
end $$;

-- The oldest first, from the one that follows `after`.
create function public.list_accounts(page_size integer, after text) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
    after_created_at double precision;
begin
    if after is not null then
        after_created_at := public.account(after)::json ->> 'created_at';
    end if;
    return coalesce(json_agg(public.account_json(page)::json), '[]') from (
        select * from public.accounts a
            where a.deleted_at is null
                and (after is null or (a.created_at, a.id) > (after_created_at, after))
            order by a.created_at, a.id limit page_size
    ) page;
end $$;

-- Null where nobody signs in with it.
create function public.find_login(email text) returns text
language sql stable security definer set search_path = '' as $$
    select json_build_object('account_id', a.id, 'password_hash', a.password_hash)::text
        from public.accounts a
        where a.email = find_login.email and a.password_hash is not null
$$;

create function public.set_password(account_id text, password_hash text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.accounts a set password_hash = set_password.password_hash
        where a.id = account_id and a.email is not null;
    if not found then
        raise exception 'account %', account_id using errcode = 'PT404';
    end if;
end $$;

create function public.delete_account(account_id text, at double precision) returns text
language plpgsql security definer set search_path = '' as $$
declare
    person uuid := (select a.user_id from public.accounts a where a.id = account_id);
begin
    update public.accounts a
        set deleted_at = coalesce(a.deleted_at, at), name = '', email = null, password_hash = null,
            user_id = null
        where a.id = delete_account.account_id;
    update public.api_keys k set revoked_at = coalesce(k.revoked_at, at), label = ''
        where k.account_id = delete_account.account_id;
    update public.sessions s set metadata = '{}' where s.account_id = delete_account.account_id;
    delete from auth.users u where u.id = person;
    return public.account(delete_account.account_id);
end $$;

create function public.unerased_accounts(before double precision, page_size integer) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(public.account_json(page)::json), '[]')::text from (
        select * from public.accounts a where a.deleted_at < before and a.erased_at is null
            order by a.deleted_at, a.id limit page_size
    ) page
$$;

create function public.mark_erased(account_id text, at double precision) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.accounts a set erased_at = coalesce(a.erased_at, at)
        where a.id = account_id and a.deleted_at is not null;
    if not found then
        raise exception 'deleted account %', account_id using errcode = 'PT404';
    end if;
end $$;


-- Keys.

create function public.key_json(key public.api_keys) returns text
language sql stable security definer set search_path = '' as $$
    select jsonb_set(to_jsonb(key), '{hash}', to_jsonb(encode(key.hash, 'base64')))::text
$$;

-- Null where there is none.
create function public.find_key(key_id text) returns text
language sql stable security definer set search_path = '' as $$
    select public.key_json(k) from public.api_keys k where k.id = key_id
$$;

create function public.list_keys(account_id text) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(public.key_json(k)::json order by k.created_at, k.id), '[]')::text
        from public.api_keys k where k.account_id = list_keys.account_id
$$;

create function public.locked_key(account_id text, key_id text) returns public.api_keys
language plpgsql security definer set search_path = '' as $$
declare
    locked public.api_keys;
begin
    select * into locked from public.api_keys k
        where k.id = key_id and k.account_id = locked_key.account_id for update;
    if not found then
        raise exception 'key %', key_id using errcode = 'PT404';
    end if;
    return locked;
end $$;

create function public.insert_key(record jsonb) returns text
language plpgsql security definer set search_path = '' as $$
declare
    key public.api_keys := jsonb_populate_record(null::public.api_keys, record - 'hash');
begin
    key.hash := decode(record ->> 'hash', 'base64');
    insert into public.api_keys values (key.*) on conflict (id) do nothing;
    return public.find_key(key.id);
end $$;

create function public.create_key(record text) returns text
language plpgsql security definer set search_path = '' as $$
begin
    perform public.require_active_account(record::jsonb ->> 'account_id');
    return public.insert_key(record::jsonb);
end $$;

create function public.rotate_key(key_id text, successor text, until double precision) returns text
language plpgsql security definer set search_path = '' as $$
declare
    given jsonb := successor::jsonb;
    key public.api_keys := public.locked_key(given ->> 'account_id', key_id);
    made text;
begin
    if key.successor_id = given ->> 'id' then
        return public.find_key(key.successor_id);
    end if;
    if key.successor_id is not null or key.revoked_at is not null
        or key.expires_at <= (given ->> 'created_at')::double precision
    then
        raise exception 'key %', key_id using errcode = 'PT409', detail = 'key_ended';
    end if;
    made := public.insert_key(given);
    update public.api_keys k
        set expires_at = least(k.expires_at, until), successor_id = given ->> 'id'
        where k.id = key.id;
    return made;
end $$;

create function public.revoke_key(account_id text, key_id text, at double precision) returns text
language plpgsql security definer set search_path = '' as $$
begin
    perform public.locked_key(account_id, key_id);
    update public.api_keys k set revoked_at = coalesce(k.revoked_at, at) where k.id = key_id;
    return public.find_key(key_id);
end $$;

-- Of JSON: when each key was used last.
create function public.note_used(used text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    -- In one order, so that servers that tell of the same keys do not wait for each other for ever.
    perform from public.api_keys k
        where k.id in (select jsonb_object_keys(used::jsonb)) order by k.id for update;
    update public.api_keys k
        set last_used_at = greatest(k.last_used_at, each.value::double precision)
        from jsonb_each_text(used::jsonb) each where k.id = each.key;
end $$;


revoke execute on function
    public.schema_version, public.account_json, public.account, public.require_active_account,
    public.create_account, public.set_plan, public.list_accounts, public.find_login,
    public.set_password, public.delete_account, public.unerased_accounts, public.mark_erased, public.key_json,
    public.find_key, public.list_keys, public.locked_key, public.insert_key, public.create_key,
    public.rotate_key, public.revoke_key, public.note_used
from public, anon, authenticated;
grant execute on function
    public.schema_version, public.account, public.create_account, public.set_plan,
    public.list_accounts, public.find_login, public.set_password, public.delete_account, public.unerased_accounts,
    public.mark_erased, public.find_key, public.list_keys, public.create_key, public.rotate_key,
    public.revoke_key, public.note_used
to service_role;

notify pgrst, 'reload schema';
