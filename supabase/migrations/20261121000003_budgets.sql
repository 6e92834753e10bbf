-- What an account may spend in a month, and what its live turns have set aside.

create table public.budgets (
    account_id text collate "C" primary key references public.accounts (id),
    limit_micro_usd bigint not null check (limit_micro_usd >= 0),
    hard boolean not null,
    locked boolean not null
);

create table public.holds (
    response_id text collate "C" primary key,
    account_id text collate "C" not null references public.accounts (id),
    granted_micro_usd bigint not null check (granted_micro_usd >= 0),
    left_micro_usd bigint not null,
    until double precision not null
);
create index holds_of_account on public.holds (account_id);

-- Sums of usage_records, by calendar month (UTC).
create table public.spending (
    account_id text collate "C" not null references public.accounts (id),
    month text not null,
    cost_micro_usd bigint not null,
    primary key (account_id, month)
);

revoke all on public.budgets, public.holds, public.spending from public, anon, authenticated;
grant select on public.budgets, public.holds, public.spending to authenticated;
alter table public.budgets enable row level security;
alter table public.holds enable row level security;
alter table public.spending enable row level security;
create policy own_budget on public.budgets for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));
create policy own_holds on public.holds for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));
create policy own_spending on public.spending for select to authenticated
    using (account_id = (select id from public.accounts where user_id = (select auth.uid())));


create function public.month(at double precision) returns text
language sql immutable set search_path = '' as $$
    select to_char(to_timestamp(at) at time zone 'UTC', 'YYYY-MM')
$$;

create function public.add_spending(account_id text, at double precision, micro_usd numeric)
returns void
language sql security definer set search_path = '' as $$
    insert into public.spending as s (account_id, month, cost_micro_usd)
        values (account_id, public.month(at), micro_usd)
        on conflict on constraint spending_pkey
        do update set cost_micro_usd = s.cost_micro_usd + excluded.cost_micro_usd
$$;

create function public.release(response_id text) returns void
language sql security definer set search_path = '' as $$
    delete from public.holds h where h.response_id = release.response_id
$$;

create function public.set_budget(record text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform public.require_active_account(record::json ->> 'account_id');
    insert into public.budgets
        select * from json_populate_record(null::public.budgets, record::json)
        on conflict (account_id) do update
            set limit_micro_usd = excluded.limit_micro_usd, hard = excluded.hard,
                locked = excluded.locked;
end $$;

create function public.remove_budget(account_id text) returns void
language sql security definer set search_path = '' as $$
    delete from public.budgets b where b.account_id = remove_budget.account_id
$$;

create function public.spent(account_id text, at double precision) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce((
        select s.cost_micro_usd from public.spending s
            where s.account_id = spent.account_id and s.month = public.month(at)
    ), 0)::text
$$;

-- Null where there is no budget.
create function public.standing(account_id text, at double precision) returns text
language sql stable security definer set search_path = '' as $$
    select json_build_object(
        'limit_micro_usd', b.limit_micro_usd,
        'hard', b.hard,
        'locked', b.locked,
        'spent_micro_usd', public.spent(b.account_id, at)::bigint,
        'held_micro_usd', (
            select coalesce(sum(h.granted_micro_usd), 0) from public.holds h
                where h.account_id = b.account_id and h.until > at
        )
    )::text from public.budgets b where b.account_id = standing.account_id
$$;

-- Null where there is no budget. As metering.budgets.grant says; nothing is granted to a turn whose
-- least cost a hard budget cannot pay.
create function public.hold(
    account_id text,
    response_id text,
    least_micro_usd bigint,
    most_micro_usd bigint,
    at double precision,
    until double precision
) returns text
language plpgsql security definer set search_path = '' as $$
declare
    budget public.budgets;
    turn public.holds;
    standing json;
begin
    -- One turn of an account after the other. Most accounts have no budget, and do not wait.
    select * into budget from public.budgets b where b.account_id = hold.account_id for update;
    if not found then
        return null;
    end if;
    standing := public.standing(hold.account_id, at);
    select * into turn from public.holds h where h.response_id = hold.response_id;
    if not found then
        turn.left_micro_usd := budget.limit_micro_usd
            - (standing ->> 'spent_micro_usd')::bigint - (standing ->> 'held_micro_usd')::bigint;
        if not budget.hard then
            turn.granted_micro_usd := most_micro_usd;
        elsif turn.left_micro_usd >= least_micro_usd then
            turn.granted_micro_usd := least(most_micro_usd, turn.left_micro_usd);
        else
            return json_build_object('standing', standing);
        end if;
        delete from public.holds h where h.account_id = hold.account_id and h.until <= at;
        insert into public.holds values (
            response_id, account_id, turn.granted_micro_usd, turn.left_micro_usd, until
        );
    end if;
    return json_build_object(
        'standing', standing,
        'hold', json_build_object(
            'limit_micro_usd', budget.limit_micro_usd,
            'hard', budget.hard,
            'left_micro_usd', turn.left_micro_usd,
            'granted_micro_usd', turn.granted_micro_usd
        )
    );
end $$;


revoke execute on function
    public.month, public.add_spending, public.release, public.set_budget, public.remove_budget,
    public.spent, public.standing, public.hold
from public, anon, authenticated;
grant execute on function
    public.release, public.set_budget, public.remove_budget, public.spent, public.standing,
    public.hold
to service_role;

notify pgrst, 'reload schema';
