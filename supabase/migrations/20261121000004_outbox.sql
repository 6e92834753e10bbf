-- What is owed to Stripe, until Stripe has it; see metering/outbox.py for what each call does.

create type public.outbox_state as enum (
    'pending', 'accepted', 'ambiguous', 'resolved', 'dead', 'expired', 'invoiced'
);

create type public.reconciliation_outcome as enum ('equal', 'repaired', 'mismatch', 'unsettled');

create table public.customers (
    account_id text collate "C" primary key references public.accounts (id),
    customer_id text collate "C" not null,
    linked_at double precision not null
);

create table public.outbox (
    id text collate "C" primary key,
    account_id text collate "C" not null references public.accounts (id),
    customer_id text collate "C",
    session_id text collate "C" references public.sessions (id),
    segment integer,
    meter public.meter not null,
    units bigint not null check (units > 0),
    cost_micro_usd bigint not null check (cost_micro_usd >= 0),
    "timestamp" bigint not null,
    hour bigint not null generated always as ("timestamp" - "timestamp" % 3600) stored,
    state public.outbox_state not null default 'pending',
    attempts integer not null default 0,
    unanswered integer not null default 0,
    first_attempt_at double precision,
    next_attempt_at double precision not null default 0,
    claimed_until double precision not null default 0,
    changed_at double precision not null,
    compared boolean not null default false,
    note text not null default '',
    unique (session_id, segment, meter),
    check ((session_id is null) = (segment is null))
);
create index outbox_to_send on public.outbox (customer_id, meter, "timestamp")
    where state = 'pending';
create index outbox_in_trouble on public.outbox (state, "timestamp")
    where state in ('ambiguous', 'dead', 'expired');
create index outbox_to_compare on public.outbox (hour) where not compared;
create index outbox_by_hour on public.outbox (customer_id, meter, hour);
create index outbox_unlinked on public.outbox (account_id) where customer_id is null;

create table public.meter_hours (
    customer_id text collate "C" not null,
    meter public.meter not null,
    hour bigint not null,
    outcome public.reconciliation_outcome not null,
    expected bigint not null,
    found bigint not null,
    compared_at double precision not null,
    primary key (customer_id, meter, hour)
);
create index meter_hours_mismatched on public.meter_hours (hour) where outcome = 'mismatch';

revoke all on public.customers, public.outbox, public.meter_hours from public, anon, authenticated;
grant select on public.customers, public.outbox to authenticated;
alter table public.customers enable row level security;
alter table public.outbox enable row level security;
alter table public.meter_hours enable row level security;
create policy own_customer on public.customers for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));
create policy own_outbox on public.outbox for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));


-- Segments become rows. The session is locked by who cuts it.

create function public.cut_segment(session_id text, at double precision) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    session public.sessions;
begin
    select * into session from public.sessions s where s.id = session_id;
    -- Whoever links the account to a customer at this moment waits, and then finds the new rows.
    perform from public.accounts a where a.id = session.account_id for key share;
    insert into public.outbox (
        id, account_id, customer_id, session_id, segment, meter, units, cost_micro_usd, "timestamp",
        changed_at
    )
        select
            'kx:' || session.id || ':' || session.segment || ':' || r.meter,
            session.account_id,
            (select c.customer_id from public.customers c where c.account_id = session.account_id),
            session.id, session.segment, r.meter,
            sum(r.billable_units), sum(r.cost_micro_usd), trunc(max(r.created_at)), at
        from public.usage_records r
        where r.session_id = session.id and r.segment = session.segment
        group by r.meter
        having sum(r.billable_units) > 0;
    update public.sessions s set segment = s.segment + 1, uncut_hour = null where s.id = session.id;
    return session.segment + 1;
end $$;

create function public.cut_segments(now double precision, at_most integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    due text;
    cut integer := 0;
begin
    for due in
        select s.id from public.sessions s
            where s.uncut_hour is not null
                and (s.uncut_hour < floor(now / 3600) or s.state = 'closed')
            order by s.uncut_hour limit at_most for update skip locked
    loop
        perform public.cut_segment(due, now);
        cut := cut + 1;
    end loop;
    return cut;
end $$;


-- Customers.

create function public.link_customer(account_id text, customer_id text, at double precision)
returns integer
language plpgsql security definer set search_path = '' as $$
declare
    linked integer;
begin
    perform from public.accounts a where a.id = link_customer.account_id for update;
    if not found then
        raise exception 'account %', account_id using errcode = 'PT404';
    end if;
    insert into public.customers as c (account_id, customer_id, linked_at)
        values (account_id, customer_id, at)
        on conflict on constraint customers_pkey
        do update set customer_id = excluded.customer_id, linked_at = excluded.linked_at
            where c.customer_id <> excluded.customer_id;
    update public.outbox o set customer_id = link_customer.customer_id, changed_at = at
        where o.account_id = link_customer.account_id and o.customer_id is null;
    get diagnostics linked = row_count;
    return linked;
end $$;

create function public.customer(account_id text) returns text
language sql stable security definer set search_path = '' as $$
    select c.customer_id from public.customers c where c.account_id = customer.account_id
$$;


-- Sending.

create function public.claim(
    now double precision,
    until double precision,
    used_before double precision,
    used_after double precision,
    attempted_after double precision,
    at_most integer,
    abreast integer
) returns text
language plpgsql security definer set search_path = '' as $$
declare
    taken text;
begin
    -- One after the other: what is claimed by others counts against `abreast`.
    perform pg_advisory_xact_lock(hashtext('kosmosx_stream claim'));
    with due as (
        select o.id, o."timestamp", o.customer_id, o.meter,
            row_number() over (
                partition by o.customer_id, o.meter order by o."timestamp", o.id
            ) as place
        from public.outbox o
        where o.state = 'pending' and o.customer_id is not null
            and o."timestamp" <= used_before and o."timestamp" > used_after
            and o.next_attempt_at <= now and o.claimed_until <= now
            and (o.first_attempt_at is null or o.first_attempt_at > attempted_after)
    ), chosen as (
        select due.id from due
        where due.place + (
            select count(*) from public.outbox other
            where other.state = 'pending' and other.customer_id = due.customer_id
                and other.meter = due.meter and other.claimed_until > now
        ) <= abreast
        order by due."timestamp", due.id limit at_most
    ), claimed as (
        update public.outbox o set
            attempts = o.attempts + 1,
            unanswered = o.unanswered + 1,
            first_attempt_at = coalesce(o.first_attempt_at, now),
            claimed_until = until,
            changed_at = now
        where o.id in (select id from chosen) and o.state = 'pending' and o.claimed_until <= now
        returning o.*
    )
    select coalesce(json_agg(row_to_json(c) order by c."timestamp", c.id), '[]') into taken
        from claimed c;
    return taken;
end $$;

create function public.accept(row_id text, at double precision) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.outbox o set state = 'accepted', claimed_until = 0, changed_at = at, note = ''
        where o.id = row_id and o.state in ('pending', 'ambiguous');
    return found;
end $$;

create function public.postpone(
    row_id text,
    claim double precision,
    at double precision,
    until double precision,
    why text,
    refused integer
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.outbox o set
            claimed_until = 0,
            next_attempt_at = until,
            unanswered = o.unanswered - refused,
            first_attempt_at = case when o.unanswered > refused then o.first_attempt_at end,
            changed_at = at,
            note = why
        where o.id = row_id and o.state = 'pending' and o.claimed_until = claim;
    return found;
end $$;

create function public.bury(row_id text, at double precision, why text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.outbox o set state = 'dead', claimed_until = 0, changed_at = at, note = why
        where o.id = row_id and o.state = 'pending';
    return found;
end $$;

-- How many are now ambiguous, and how many are expired.
create function public.age(
    now double precision, attempted_before double precision, used_before double precision
) returns text
language plpgsql security definer set search_path = '' as $$
declare
    ambiguous integer;
    expired integer;
begin
    update public.outbox o set state = 'ambiguous', changed_at = now
        where o.state = 'pending' and o.customer_id is not null and o.claimed_until <= now
            and o.first_attempt_at is not null
            and (o.first_attempt_at <= attempted_before or o."timestamp" <= used_before);
    get diagnostics ambiguous = row_count;
    update public.outbox o set state = 'expired', changed_at = now
        where o.state = 'pending' and o.customer_id is not null and o.claimed_until <= now
            and o.first_attempt_at is null and o."timestamp" <= used_before;
    get diagnostics expired = row_count;
    return json_build_array(ambiguous, expired);
end $$;

create function public.claim_expired(
    now double precision, until double precision, at_most integer
) returns text
language sql security definer set search_path = '' as $$
    with chosen as (
        select o.id from public.outbox o where o.state = 'expired' and o.claimed_until <= now
            order by o."timestamp", o.id limit at_most for update skip locked
    ), claimed as (
        update public.outbox o set claimed_until = until from chosen where o.id = chosen.id
            returning o.*
    )
    select coalesce(json_agg(row_to_json(c) order by c."timestamp", c.id), '[]')::text from claimed c
$$;

create function public.invoice(row_id text, at double precision, why text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.outbox o set state = 'invoiced', claimed_until = 0, changed_at = at, note = why
        where o.id = row_id and o.state = 'expired';
    return found;
end $$;


-- Comparing hours with Stripe's.

create function public.unreconciled(
    ended double precision, unchanged double precision, at_most integer
) returns text
language sql stable security definer set search_path = '' as $$
    with settled as (
        select o.customer_id, o.meter, o.hour from public.outbox o
        where (o.customer_id, o.meter, o.hour) in (
            select c.customer_id, c.meter, c.hour from public.outbox c
            where not c.compared and c.customer_id is not null and c.hour <= ended
        )
        group by o.customer_id, o.meter, o.hour
        having max(o.changed_at) <= unchanged and count(*) filter (where o.state = 'pending') = 0
    ), next as (
        select settled.*, coalesce(h.compared_at, 0) as compared_at
        from settled left join public.meter_hours h using (customer_id, meter, hour)
        order by coalesce(h.compared_at, 0), hour, customer_id, meter::text limit at_most
    )
    select coalesce(json_agg(
        row_to_json(n) order by n.compared_at, n.hour, n.customer_id, n.meter::text
    ), '[]')::text from next n
$$;

-- As metering.reconciliation.judge says.
create function public.reconcile(
    of_hour text,
    found_units bigint,
    at double precision,
    ended double precision,
    unchanged double precision
) returns text
language plpgsql security definer set search_path = '' as $$
declare
    given public.meter_hours := json_populate_record(null::public.meter_hours, of_hour::json);
    ids text[];
    settled boolean;
    ambiguous bigint;
    repairs bigint;
    missing bigint;
begin
    -- What is inserted from here on is not part of the verdict; what is there does not change.
    perform from public.outbox o
        where (o.customer_id, o.meter, o.hour) = (given.customer_id, given.meter, given.hour)
        for update;
    select
        array_agg(o.id),
        coalesce(sum(case
            when o.session_id is not null and o.state in ('accepted', 'ambiguous', 'resolved')
                then o.units
            when o.session_id is null and o.state in ('expired', 'invoiced') then -o.units
        end), 0),
        coalesce(sum(o.units) filter (where o.state = 'ambiguous'), 0),
        count(*) filter (where o.session_id is null),
        given.hour <= ended and bool_or(not o.compared) and max(o.changed_at) <= unchanged
            and bool_and(o.state <> 'pending')
    into ids, given.expected, ambiguous, repairs, settled
    from public.outbox o
    where (o.customer_id, o.meter, o.hour) = (given.customer_id, given.meter, given.hour);

    missing := given.expected - found_units;
    given.found := found_units;
    given.compared_at := at;
    given.outcome := case
        when settled is not true then 'unsettled'
        when missing = 0 then 'equal'
        when missing between 1 and ambiguous then 'repaired'
        else 'mismatch'
    end;
    if given.outcome = 'repaired' then
        insert into public.outbox (
            id, account_id, customer_id, meter, units, cost_micro_usd, "timestamp", changed_at
        )
            select
                concat_ws(':', 'kx:repair', given.customer_id, given.meter, given.hour, repairs),
                min(o.account_id), given.customer_id, given.meter, missing,
                trunc(sum(o.cost_micro_usd) * missing / sum(o.units)), max(o."timestamp"), at
            from public.outbox o where o.id = any (ids) and o.state = 'ambiguous';
    end if;
    if given.outcome in ('equal', 'repaired') then
        update public.outbox o
            set state = case given.outcome
                    when 'equal' then 'accepted' else 'resolved'
                end::public.outbox_state,
                changed_at = at
            where o.id = any (ids) and o.state = 'ambiguous';
    end if;
    if given.outcome = 'equal' then
        update public.outbox o set compared = true where o.id = any (ids);
    end if;
    if given.outcome <> 'unsettled' then
        insert into public.meter_hours as h values (given.*)
            on conflict (customer_id, meter, hour) do update set outcome = excluded.outcome,
                expected = excluded.expected, found = excluded.found,
                compared_at = excluded.compared_at;
    end if;
    return json_build_object(
        'outcome', given.outcome,
        'expected', given.expected,
        'found', found_units,
        'ambiguous', ambiguous
    );
end $$;


-- Looking.

create function public.outbox_rows(account_id text, session_id text) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(row_to_json(o) order by o.segment, o.meter::text), '[]')::text
        from public.outbox o
        where o.account_id = outbox_rows.account_id and o.session_id = outbox_rows.session_id
$$;

create function public.outbox_attention(at_most integer) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(row_to_json(page)), '[]')::text from (
        select * from public.outbox o where o.state in ('ambiguous', 'dead', 'expired')
            order by o."timestamp", o.id limit at_most
    ) page
$$;

create function public.outbox_health() returns text
language sql stable security definer set search_path = '' as $$
    select json_build_object(
        'pending', count(*) filter (where o.state = 'pending' and o.customer_id is not null),
        'unlinked', count(*) filter (where o.customer_id is null),
        'ambiguous', count(*) filter (where o.state = 'ambiguous'),
        'dead', count(*) filter (where o.state = 'dead'),
        'expired', count(*) filter (where o.state = 'expired'),
        'oldest_pending_at', min(o."timestamp")
            filter (where o.state = 'pending' and o.customer_id is not null),
        'mismatched_hours', (
            select count(*) from public.meter_hours h where h.outcome = 'mismatch'
        ),
        'mismatched_units', (
            select coalesce(sum(abs(h.expected - h.found)), 0) from public.meter_hours h
                where h.outcome = 'mismatch'
        )
    )::text from public.outbox o where o.state in ('pending', 'ambiguous', 'dead', 'expired')
$$;


revoke execute on function
    public.cut_segment, public.cut_segments, public.link_customer, public.customer, public.claim,
    public.accept, public.postpone, public.bury, public.age, public.claim_expired, public.invoice,
    public.unreconciled, public.reconcile, public.outbox_rows, public.outbox_attention,
    public.outbox_health
from public, anon, authenticated;
grant execute on function
    public.cut_segments, public.link_customer, public.customer, public.claim, public.accept,
    public.postpone, public.bury, public.age, public.claim_expired, public.invoice,
    public.unreconciled, public.reconcile, public.outbox_rows, public.outbox_attention,
    public.outbox_health
to service_role;

notify pgrst, 'reload schema';
