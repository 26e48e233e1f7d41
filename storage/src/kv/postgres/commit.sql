-- Judges transactions that touch nothing of one another, and applies those whose conditions hold. `locks` are stripes in ascending
-- order, each shifted left by one, with 1 for an exclusive lock. A condition without a revision: the key is absent. `…_of` tells which
-- transaction a row is of. Answers the refused transactions, each with the first key whose condition does not hold.
create or replace function kv_commit(
    locks_all boolean, locks int[],
    asked bytea[], asked_revision bigint[], asked_of int[],
    put bytea[], put_value bytea[], put_revision bigint[], put_of int[],
    deleted bytea[], deleted_of int[],
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
end
$body$;
