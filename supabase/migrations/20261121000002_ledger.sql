-- Sessions, the turns in them, and their cost.

create type public.session_state as enum ('open', 'closed');

-- In the order in which they stand on a receipt.
create type public.meter as enum ('tokens', 'images', 'detections');

create table public.sessions (
    id text collate "C" primary key,
    account_id text collate "C" not null references public.accounts (id),
    key_id text collate "C" references public.api_keys (id),
    state public.session_state not null default 'open',
    segment integer not null default 0,
    opened_at double precision not null,
    last_seen_at double precision not null,
    closed_at double precision,
    close_reason text,
    receipt json,
    metadata json not null default '{}',
    -- The hour of the rows in the current segment, in hours since 1970; null if it has none.
    uncut_hour bigint,
    -- The segments that the receipt covers: turns of later ones came too late for it.
    receipt_segments integer,
    check ((state = 'closed') = (receipt is not null))
);
create index sessions_of_account on public.sessions (account_id, opened_at, id);
create index sessions_by_idleness on public.sessions (last_seen_at, id) where state = 'open';
create index open_sessions on public.sessions (account_id) where state = 'open';
create index sessions_uncut on public.sessions (uncut_hour) where uncut_hour is not null;

create table public.turns (
    response_id text collate "C" primary key,
    session_id text collate "C" not null references public.sessions (id),
    account_id text collate "C" not null references public.accounts (id),
    segment integer not null,
    model text not null,
    input_tokens bigint not null check (input_tokens >= 0),
    cached_tokens bigint not null check (cached_tokens between 0 and input_tokens),
    output_tokens bigint not null check (output_tokens >= 0),
    images bigint not null check (images >= 0),
    detections bigint not null check (detections >= 0),
    at double precision not null
);
create index turns_of_session on public.turns (session_id);

create table public.usage_records (
    response_id text collate "C" not null references public.turns (response_id),
    meter public.meter not null,
    session_id text collate "C" not null references public.sessions (id),
    account_id text collate "C" not null references public.accounts (id),
    segment integer not null,
    raw_units bigint not null check (raw_units >= 0),
    billable_units bigint not null check (billable_units >= 0),
    unit_price_micro_usd bigint not null check (unit_price_micro_usd >= 0),
    cost_micro_usd bigint not null check (cost_micro_usd = billable_units * unit_price_micro_usd),
    price_version text not null,
    created_at double precision not null,
    primary key (response_id, meter)
);
create index usage_records_of_session on public.usage_records (session_id, segment);

revoke all on public.sessions, public.turns, public.usage_records from public, anon, authenticated;
grant select on public.sessions, public.turns, public.usage_records to authenticated;
alter table public.sessions enable row level security;
alter table public.turns enable row level security;
alter table public.usage_records enable row level security;
create policy own_sessions on public.sessions for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));
create policy own_turns on public.turns for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));
create policy own_usage on public.usage_records for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));


-- Sessions.

create function public.locked_session(account_id text, session_id text) returns public.sessions
language plpgsql security definer set search_path = '' as $$
declare
    locked public.sessions;
begin
    select * into locked from public.sessions s
        where s.id = session_id and s.account_id = locked_session.account_id for update;
    if not found then
        raise exception 'session %', session_id using errcode = 'PT404';
    end if;
    return locked;
end $$;

create function public.open_session(
    session_id text, account_id text, key_id text, at double precision, metadata text
) returns text
language plpgsql security definer set search_path = '' as $$
begin
    perform public.require_active_account(open_session.account_id);
    if key_id is not null and not exists (
        select from public.api_keys k
            where k.id = key_id and k.account_id = open_session.account_id
    ) then
        raise exception 'key %', key_id using errcode = 'PT404';
    end if;
    insert into public.sessions (id, account_id, key_id, opened_at, last_seen_at, metadata)
        values (session_id, open_session.account_id, key_id, at, at, metadata::json)
        on conflict (id) do nothing;
    return public.session(open_session.account_id, session_id);
end $$;

create function public.session(account_id text, session_id text) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
    found_session text;
begin
    select row_to_json(s) into found_session from public.sessions s
        where s.id = session_id and s.account_id = session.account_id;
    if not found then
        raise exception 'session %', session_id using errcode = 'PT404';
    end if;
    return found_session;
end $$;

-- The newest first, from the one that follows `after`.
create function public.list_sessions(
    account_id text, page_size integer, after text, state public.session_state
) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
    after_opened_at double precision;
begin
    if after is not null then
        after_opened_at := public.session(account_id, after)::json ->> 'opened_at';
    end if;
    return coalesce(json_agg(row_to_json(page)), '[]') from (
        select * from public.sessions s
            where s.account_id = list_sessions.account_id
                and (list_sessions.state is null or s.state = list_sessions.state)
                and (after is null or (s.opened_at, s.id) < (after_opened_at, after))
            order by s.opened_at desc, s.id desc limit page_size
    ) page;
end $$;

create function public.idle_sessions(before double precision, page_size integer) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(row_to_json(page)), '[]')::text from (
        select * from public.sessions s where s.state = 'open' and s.last_seen_at < before
            order by s.last_seen_at, s.id limit page_size
    ) page
$$;

create function public.open_sessions(account_id text) returns text
language sql stable security definer set search_path = '' as $$
    select count(*)::text from public.sessions s
        where s.account_id = open_sessions.account_id and s.state = 'open'
$$;

create function public.touch(account_id text, session_id text, at double precision) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if (public.locked_session(account_id, session_id)).state = 'closed' then
        raise exception 'session %', session_id using errcode = 'PT409', detail = 'session_closed';
    end if;
    update public.sessions s set last_seen_at = greatest(s.last_seen_at, at) where s.id = session_id;
end $$;


-- Turns and the ledger.

-- 0: it was there already; 1: written; 2: written, though the session was closed.
create function public.record_turn(usage text, ledger_rows text) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    turn jsonb := usage::jsonb;
    given_rows jsonb := ledger_rows::jsonb;
    at double precision := turn ->> 'at';
    hour bigint := floor(at / 3600);
    session public.sessions := public.locked_session(turn ->> 'account_id', turn ->> 'session_id');
    segment jsonb;
begin
    perform public.release(turn ->> 'response_id');
    if exists (select from public.turns t where t.response_id = turn ->> 'response_id') then
        return 0;
    end if;
    -- A segment has the rows of one hour.
    if given_rows <> '[]' then
        if session.uncut_hour <> hour then
            session.segment := public.cut_segment(session.id, at);
        end if;
        update public.sessions s set uncut_hour = hour where s.id = session.id;
    end if;
    segment := jsonb_build_object('segment', session.segment);
    insert into public.turns select * from jsonb_populate_record(null::public.turns, turn || segment);
    insert into public.usage_records
        select r.* from jsonb_array_elements(given_rows) given,
            jsonb_populate_record(null::public.usage_records, given || segment) r;
    perform public.add_spending(
        session.account_id,
        at,
        (select coalesce(sum(cost_micro_usd), 0) from public.usage_records
            where response_id = turn ->> 'response_id')
    );
    update public.sessions s set last_seen_at = greatest(s.last_seen_at, at) where s.id = session.id;
    return case session.state when 'closed' then 2 else 1 end;
end $$;

create function public.ledger(account_id text, session_id text) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
    perform public.session(account_id, session_id);
    return coalesce(json_agg(row_to_json(r) order by r.created_at, r.response_id, r.meter), '[]')
        from public.usage_records r where r.session_id = ledger.session_id;
end $$;

create function public.session_usage(account_id text, session_id text) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
    used public.sessions;
begin
    perform public.session(account_id, session_id);
    select * into used from public.sessions s where s.id = session_id;
    return row_to_json(sums) from (
        select
            count(*) as turns,
            coalesce(sum(t.input_tokens), 0) as input_tokens,
            coalesce(sum(t.cached_tokens), 0) as cached_tokens,
            coalesce(sum(t.output_tokens), 0) as output_tokens,
            coalesce(sum(t.images), 0) as images,
            coalesce(sum(t.detections), 0) as detections,
            (
                select coalesce(sum(r.cost_micro_usd), 0) from public.usage_records r
                    where r.session_id = used.id
            ) as cost_micro_usd,
            (
                select coalesce(sum(r.cost_micro_usd), 0) from public.usage_records r
                    where r.session_id = used.id and used.state = 'closed'
                        and r.segment >= used.receipt_segments
            ) as late_micro_usd
        from public.turns t where t.session_id = used.id
    ) sums;
end $$;


-- Closing. A receipt is computed outside, from what `session_books` gave, and is stored if no turn
-- came meanwhile: turns are never changed or taken away, so their number says which they are.

create function public.session_books(account_id text, session_id text) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
    return json_build_object(
        'session', public.session(account_id, session_id)::json,
        'turns', (select count(*) from public.turns t where t.session_id = session_books.session_id),
        'ledger', public.ledger(account_id, session_id)::json
    );
end $$;

-- Null where a turn came meanwhile.
create function public.close_session(
    account_id text,
    session_id text,
    at double precision,
    reason text,
    idle_before double precision,
    turns bigint,
    receipt text
) returns text
language plpgsql security definer set search_path = '' as $$
declare
    session public.sessions := public.locked_session(account_id, session_id);
begin
    if session.state = 'closed' or session.last_seen_at >= idle_before then
        return row_to_json(session);
    end if;
    if turns <> (select count(*) from public.turns t where t.session_id = session.id) then
        return null;
    end if;
    perform public.cut_segment(session.id, at);
    update public.sessions s
        set state = 'closed', receipt_segments = s.segment, closed_at = at, close_reason = reason,
            receipt = close_session.receipt::json
        where s.id = session.id;
    return public.session(account_id, session_id);
end $$;


revoke execute on function
    public.locked_session, public.open_session, public.session, public.list_sessions,
    public.idle_sessions, public.open_sessions, public.touch, public.record_turn, public.ledger,
    public.session_usage,
    public.session_books, public.close_session
from public, anon, authenticated;
grant execute on function
    public.open_session, public.session, public.list_sessions, public.idle_sessions,
    public.open_sessions, public.touch, public.record_turn, public.ledger, public.session_usage, public.session_books,
    public.close_session
to service_role;

notify pgrst, 'reload schema';
