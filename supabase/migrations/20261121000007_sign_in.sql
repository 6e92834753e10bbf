-- Accounts of people who sign in with Supabase Auth.

-- Null where the person has none.
create function public.account_of(person uuid) returns text
language sql stable security definer set search_path = '' as $$
    select public.account_json(a) from public.accounts a where a.user_id = person
$$;

-- The person's account: this one, unless there is one already.
create function public.register_account(record text, person uuid) returns text
language plpgsql security definer set search_path = '' as $$
declare
    given public.accounts := json_populate_record(null::public.accounts, record::json);
    registered text;
begin
    given.user_id := person;
    insert into public.accounts values (given.*) on conflict do nothing;
    registered := public.account_of(person);
    if registered is null then
        raise exception 'email' using errcode = 'PT409', detail = 'email_taken';
    end if;
    return registered;
end $$;

revoke execute on function public.account_of, public.register_account
    from public, anon, authenticated;
grant execute on function public.account_of, public.register_account to service_role;

notify pgrst, 'reload schema';
