-- What a cheaper model answers where a budget has ended, and its meters.

alter type public.meter add value 'fallback_tokens';
alter type public.meter add value 'fallback_images';
alter type public.meter add value 'fallback_detections';

-- What the month may cost on top of a hard limit, for answers of the cheaper model.
alter table public.budgets
    add column fallback_micro_usd bigint not null default 0 check (fallback_micro_usd >= 0);

create or replace function public.schema_version() returns integer
language sql immutable security definer set search_path = '' as $$ select 2 $$;

-- Servers of the version before say nothing of the cheaper model.
create or replace function public.set_budget(record text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform public.require_active_account(record::json ->> 'account_id');
    insert into public.budgets
        select * from jsonb_populate_record(
            null::public.budgets, '{"fallback_micro_usd": 0}' || record::jsonb
        )
        on conflict (account_id) do update
            set limit_micro_usd = excluded.limit_micro_usd, hard = excluded.hard,
                locked = excluded.locked, fallback_micro_usd = excluded.fallback_micro_usd;
end $$;

-- Null where there is no budget.
create or replace function public.standing(account_id text, at double precision) returns text
language sql stable security definer set search_path = '' as $$
    select json_build_object(
        'limit_micro_usd', b.limit_micro_usd,
        'hard', b.hard,
        'locked', b.locked,
        'spent_micro_usd', public.spent(b.account_id, at)::bigint,
        'held_micro_usd', (
            select coalesce(sum(h.granted_micro_usd), 0) from public.holds h
                where h.account_id = b.account_id and h.until > at
        ),
        'fallback_micro_usd', b.fallback_micro_usd
    )::text from public.budgets b where b.account_id = standing.account_id
$$;

drop function public.hold(text, text, bigint, bigint, double precision, double precision);

-- Null where there is no budget. As metering.budgets.grant says; nothing is granted to a turn whose
-- least cost a hard budget cannot pay.
create function public.hold(
    account_id text,
    response_id text,
    least_micro_usd bigint,
    most_micro_usd bigint,
    at double precision,
    until double precision,
    fallback boolean default false
) returns text
language plpgsql security definer set search_path = '' as $$
declare
    budget public.budgets;
    turn public.holds;
    standing jsonb;
begin
    -- One turn of an account after the other. Most accounts have no budget, and do not wait.
    select * into budget from public.budgets b where b.account_id = hold.account_id for update;
    if not found then
        return null;
    end if;
    if fallback then
        budget.limit_micro_usd := budget.limit_micro_usd + budget.fallback_micro_usd;
    end if;
    standing := public.standing(hold.account_id, at)::jsonb
        || jsonb_build_object('limit_micro_usd', budget.limit_micro_usd);
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

revoke execute on function public.hold from public, anon, authenticated;
grant execute on function public.hold to service_role;

notify pgrst, 'reload schema';
