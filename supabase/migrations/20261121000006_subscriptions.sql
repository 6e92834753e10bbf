-- What Stripe told us of subscriptions; see metering/subscriptions.py.

create table public.stripe_events (
    id text collate "C" primary key,
    received_at double precision not null
);

create table public.subscriptions (
    id text collate "C" primary key,
    customer_id text collate "C" not null,
    status text not null,
    changed_at double precision not null
);
create index subscriptions_of_customer on public.subscriptions (customer_id);

revoke all on public.stripe_events, public.subscriptions from public, anon, authenticated;
grant select on public.subscriptions to authenticated;
alter table public.stripe_events enable row level security;
alter table public.subscriptions enable row level security;
create policy own_subscriptions on public.subscriptions for select to authenticated
    using (customer_id in (select c.customer_id from public.customers c));


create function public.take_event(event_id text, at double precision, told text) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    taken integer;
begin
    insert into public.stripe_events (id, received_at) values (event_id, at) on conflict do nothing;
    get diagnostics taken = row_count;
    if taken = 1 and told <> 'null' then
        insert into public.subscriptions as kept (id, customer_id, status, changed_at)
            select t.id, t.customer_id, t.status, t.changed_at
            from json_populate_record(null::public.subscriptions, told::json) t
        on conflict (id) do update set
            customer_id = excluded.customer_id,
            status = excluded.status,
            changed_at = excluded.changed_at
        where kept.changed_at <= excluded.changed_at;
    end if;
    return taken = 1;
end $$;

create function public.account_subscriptions(account_id text) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(row_to_json(s) order by s.changed_at desc, s.id), '[]')::text
        from public.subscriptions s
        join public.customers c on c.customer_id = s.customer_id
        where c.account_id = account_subscriptions.account_id
$$;

revoke execute on function public.take_event, public.account_subscriptions
from public, anon, authenticated;
grant execute on function public.take_event, public.account_subscriptions to service_role;

notify pgrst, 'reload schema';
