//! What is read back from a medium: none of it makes the decoders panic, and what decodes comes back when it is stored again.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use storage::catalog::{Catalog, Trailer};
use storage::kv::memory::MemoryKv;
use storage::kv::{Direction, KeyRange, KeyValue, Transaction, Write};
use storage::name::Timestamp;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (name, value) = input;
    if let Ok(stamped) = Trailer::decode(&value) {
        let again = Trailer::decode(&stamped.trailer.encode()).expect("what we write decodes");
        assert_eq!(again.trailer, stamped.trailer);
        let _ = stamped.trailer.owner();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        if let Ok(lines) = str::from_utf8(&value) {
            let _ = Catalog::new(Arc::new(MemoryKv::new())).load(lines.lines()).await;
        }
        let kv = Arc::new(MemoryKv::new());
        let writes = vec![Write::Put(name.into(), value.into())];
        kv.commit(Transaction { conditions: vec![], writes }).await.expect("memory takes it");
        let catalog = Catalog::new(kv.clone());
        if let Ok((lines, _)) = catalog.dump(None).await
            && lines.lines().count() > 1
        {
            let copy = Arc::new(MemoryKv::new());
            Catalog::new(copy.clone()).load(lines.lines()).await.expect("what we dump loads");
            let all = KeyRange { start: Bytes::new(), end: None };
            let found = copy.scan(all, Direction::Forward, 9).await.expect("memory reads");
            assert_eq!(found.len(), 1);
            let (again, _) = Catalog::new(copy).dump(None).await.expect("what we loaded dumps");
            assert_eq!(again, lines);
        }
        let _ = catalog.next_displaced(Timestamp(u64::MAX), 10).await;
        let _ = catalog.finish_restore().await;
    });
});
