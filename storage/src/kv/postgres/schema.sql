-- The map. Sealed values don't compress.
create table kv (
    key bytea primary key,
    value bytea not null,
    revision bigint not null
) with (fillfactor = 90);
alter table kv alter column value set storage external;
