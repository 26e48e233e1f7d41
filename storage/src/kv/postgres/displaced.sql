-- The part of the map whose keys begin with `D`: a queue, which is written at one end and deleted at the other. In a table of its own it
-- is vacuumed often, and what is dead in it is in nobody else's way.
create table kv_queue (
    key bytea primary key,
    value bytea not null,
    revision bigint not null
) with (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
alter table kv_queue alter column value set storage external;
insert into kv_queue select key, value, revision from kv where key >= 'D' and key < 'E';
delete from kv where key >= 'D' and key < 'E';

