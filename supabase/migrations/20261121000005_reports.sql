-- What an account used, summed by day, model, key or session.

create index turns_of_account on public.turns (account_id, at);

-- `grouped` names what is summed by; the others are null in each row.
create function public.usage(
    account_id text,
    since double precision,
    before double precision,
    grouped text,
    most integer
) returns text
language sql stable security definer set search_path = '' as $$
    with used as (
        select
            case when grouped::jsonb ? 'day'
                then to_char(to_timestamp(t.at) at time zone 'UTC', 'YYYY-MM-DD') end as day,
            case when grouped::jsonb ? 'model' then t.model collate "C" end as model,
            case when grouped::jsonb ? 'key_id' then s.key_id end as key_id,
            case when grouped::jsonb ? 'session_id' then t.session_id end as session_id,
            t.input_tokens, t.cached_tokens, t.output_tokens, t.images, t.detections,
            (
                select coalesce(sum(u.cost_micro_usd), 0) from public.usage_records u
                    where u.response_id = t.response_id
            ) as cost_micro_usd
        from public.turns t join public.sessions s on s.id = t.session_id
        where t.account_id = usage.account_id and t.at >= since and t.at < before
    ),
    sums as (
        select
            u.day, u.model, u.key_id, u.session_id,
            count(*) as turns,
            sum(u.input_tokens) as input_tokens,
            sum(u.cached_tokens) as cached_tokens,
            sum(u.output_tokens) as output_tokens,
            sum(u.images) as images,
            sum(u.detections) as detections,
            sum(u.cost_micro_usd) as cost_micro_usd
        from used u
        group by 1, 2, 3, 4
        order by 1, 2, 3 nulls first, 4
        limit most
    )
    select coalesce(json_agg(sums), '[]')::text from sums
$$;

revoke execute on function public.usage from public, anon, authenticated;
grant execute on function public.usage to service_role;

notify pgrst, 'reload schema';
