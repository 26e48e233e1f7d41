-- A number of a counter: each has eight bytes, the highest first.
create or replace function kv_number(stored bytea, which int) returns bigint language sql immutable strict as $body$
    select ('x' || encode(substring(stored from which * 8 + 1 for 8), 'hex'))::bit(64)::bigint
$body$;

-- The sum of two counters.
create or replace function kv_sum(one bytea, other bytea) returns bytea language sql immutable strict as $body$
    select string_agg(int8send(kv_number(one, which) + kv_number(other, which)), ''::bytea order by which)
    from generate_series(0, 7) as which
$body$;

-- Judges transactions that touch nothing of one another, and applies those whose conditions hold. `locks` are stripes in ascending
-- order, each shifted left by one, with 1 for an exclusive lock. A condition without a revision: the key is absent. `…_of` tells which
-- transaction a row is of. Answers the refused transactions, each with the first key whose condition does not hold. What is
-- added to a counter is added last: its row is locked for no longer than the commit takes, always in the order of the keys, and who holds
-- such a row waits for nothing else. `bounded…`: a number of the counter may be at most this, over all entries of the counter.
create or replace function kv_commit(
    locks_all boolean, locks int[],
    asked bytea[], asked_revision bigint[], asked_of int[],
    put bytea[], put_value bytea[], put_revision bigint[], put_of int[],
    deleted bytea[], deleted_of int[],
    added bytea[], added_value bytea[], added_revision bigint[], added_of int[],
    bounded bytea[], bounded_end bytea[], bounded_column int[], bounded_most bigint[], bounded_of int[],
    out refused int[], out refused_key bytea[]
) language plpgsql as $body$
declare
    stripe int;
begin
    if locks_all then
        perform pg_advisory_xact_lock(8, 0);
    else
        perform pg_advisory_xact_lock_shared(8, 0);
    end if;
    foreach stripe in array locks loop
        if stripe & 1 = 1 then
            perform pg_advisory_xact_lock(7, stripe >> 1);
        else
            perform pg_advisory_xact_lock_shared(7, stripe >> 1);
        end if;
    end loop;
    -- A statement of its own: in READ COMMITTED it sees what is committed now that the locks are held.
    select coalesce(array_agg(bad.owner), '{}'), coalesce(array_agg(bad.name), '{}') into refused, refused_key
    from (
        select distinct on (a.owner) a.owner, a.name
        from unnest(asked, asked_revision, asked_of) with ordinality as a(name, revision, owner, place)
        left join kv on kv.key = a.name
        left join kv_queue as queued on queued.key = a.name
        where coalesce(kv.revision, queued.revision) is distinct from a.revision
        order by a.owner, a.place
    ) as bad;
    if cardinality(bounded) > 0 then
        select refused || coalesce(array_agg(bad.owner), '{}'), refused_key || coalesce(array_agg(bad.name), '{}')
        into refused, refused_key
        from (
            select distinct on (b.owner) b.owner, b.name
            from unnest(bounded, bounded_end, bounded_column, bounded_most, bounded_of) with ordinality
                as b(name, behind, which, most, owner, place)
            where b.owner <> all (refused) and b.most < (
                select coalesce(sum(kv_number(kv.value, b.which)), 0) from kv
                where kv.key >= b.name and kv.key < b.behind
            )
            order by b.owner, b.place
        ) as bad;
    end if;
    insert into kv (key, value, revision)
    select p.name, p.value, p.revision
    from unnest(put, put_value, put_revision, put_of) as p(name, value, revision, owner)
    where p.owner <> all (refused) and substring(p.name from 1 for 1) <> 'D'
    on conflict (key) do update set value = excluded.value, revision = excluded.revision;
    insert into kv_queue (key, value, revision)
    select p.name, p.value, p.revision
    from unnest(put, put_value, put_revision, put_of) as p(name, value, revision, owner)
    where p.owner <> all (refused) and substring(p.name from 1 for 1) = 'D'
    on conflict (key) do update set value = excluded.value, revision = excluded.revision;
    if cardinality(deleted) > 0 then
        delete from kv using unnest(deleted, deleted_of) as d(name, owner)
        where kv.key = d.name and d.owner <> all (refused);
        delete from kv_queue using unnest(deleted, deleted_of) as d(name, owner)
        where kv_queue.key = d.name and d.owner <> all (refused);
    end if;
    if cardinality(added) > 0 then
        insert into kv (key, value, revision)
        select a.name,
            int8send(sum(kv_number(a.value, 0))::bigint) || int8send(sum(kv_number(a.value, 1))::bigint)
            || int8send(sum(kv_number(a.value, 2))::bigint) || int8send(sum(kv_number(a.value, 3))::bigint)
            || int8send(sum(kv_number(a.value, 4))::bigint) || int8send(sum(kv_number(a.value, 5))::bigint)
            || int8send(sum(kv_number(a.value, 6))::bigint) || int8send(sum(kv_number(a.value, 7))::bigint),
            max(a.revision)
        from unnest(added, added_value, added_revision, added_of) as a(name, value, revision, owner)
        where a.owner <> all (refused)
        group by a.name
        order by a.name
        on conflict (key) do update set value = kv_sum(kv.value, excluded.value), revision = excluded.revision;
    end if;
end
$body$;

-- As gateways of an earlier build call it, which count nothing: what they commit leaves the counters in doubt, so they are counted anew.
create or replace function kv_commit(
    locks_all boolean, locks int[],
    asked bytea[], asked_revision bigint[], asked_of int[],
    put bytea[], put_value bytea[], put_revision bigint[], put_of int[],
    deleted bytea[], deleted_of int[],
    out refused int[], out refused_key bytea[]
) language plpgsql as $body$
begin
    select done.refused, done.refused_key into refused, refused_key
    from kv_commit(
        locks_all, locks, asked, asked_revision, asked_of, put, put_value, put_revision, put_of, deleted, deleted_of,
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
    ) as done;
    if exists (
        select from unnest(put || deleted) as changed(name) where substring(changed.name from 1 for 1) in ('H', 'V', 'U', 'P')
    ) then
        delete from kv where key = 'Ns';
    end if;
end
$body$;
