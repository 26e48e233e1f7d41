//! Tables of delta-rs that several writers change at once, and queries of DataFusion, over `EncryptedStore`: nothing that reaches the store
//! is in the clear. Prints `work: ok`. AWS_ENDPOINT_URL says which S3, BUCKET which bucket.

use std::error::Error;
use std::sync::Arc;

use deltalake_core::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake_core::arrow::util::display::array_value_to_string;
use deltalake_core::datafusion::prelude::{ParquetReadOptions, SessionContext, col, lit};
use deltalake_core::kernel::{DataType, PrimitiveType, StructField};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt};
use s3_encryption_client::Settings;
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::object_store_0_13::{EncryptedStore, Ranges};
use url::Url;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const WRITERS: i64 = 4;
const COMMITS: i64 = 5;
const ROWS: i64 = 100;
/// What stands in every row, and nowhere in the store.
const SECRET: &str = "what nobody else may read";

fn s3() -> Outcome<AmazonS3> {
    let bucket = std::env::var("BUCKET").unwrap_or_else(|_| "clients".to_owned());
    Ok(AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true).build()?)
}

fn encrypted() -> Outcome<Arc<EncryptedStore<AmazonS3>>> {
    let store = EncryptedStore::new(s3()?, Arc::new(AesKeyring::new(&[7; 32])?), Settings::new())?;
    // Readers of Parquet ask for ranges.
    Ok(Arc::new(store.ignore_instruction_files().ranges(Ranges::FetchWhole)))
}

/// The table over a store of its own, as another process would open it.
fn table(name: &str) -> Outcome<DeltaTable> {
    // The scheme chooses the commits by conditional puts; the store is ours.
    let url = Url::parse(&format!("memory:///{name}"))?;
    Ok(DeltaTableBuilder::from_url(url.clone())?.with_storage_backend(encrypted()?, url).build()?)
}

fn rows(from: i64, count: i64) -> Outcome<RecordBatch> {
    let numbers = Int64Array::from_iter_values(from..from + count);
    let texts = StringArray::from_iter_values((0..count).map(|_| SECRET));
    Ok(RecordBatch::try_from_iter([("number", Arc::new(numbers) as _), ("text", Arc::new(texts) as _)])?)
}

/// What a query answers, in one line.
async fn answer(context: &SessionContext, query: &str) -> Outcome<String> {
    let mut values = Vec::new();
    for batch in context.sql(query).await?.collect().await? {
        for row in 0..batch.num_rows() {
            for column in batch.columns() {
                values.push(array_value_to_string(column, row)?);
            }
        }
    }
    Ok(values.join(" "))
}

fn same(found: &str, expected: &str) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{found} in place of {expected}").into()) }
}

async fn write(writer: i64) -> Outcome {
    for commit in 0..COMMITS {
        let mut table = table("shared")?;
        table.load().await?;
        table.write([rows((writer * COMMITS + commit) * ROWS, ROWS)?]).await?;
    }
    Ok(())
}

/// Writers at once, none of whose commits is lost; a deletion, a compaction; queries in between.
async fn shared() -> Outcome {
    let number = |name, kind| StructField::new(name, DataType::Primitive(kind), false);
    let columns = [number("number", PrimitiveType::Long), number("text", PrimitiveType::String)];
    table("shared")?.create().with_columns(columns).await?;
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(writer))).collect();
    for writer in writers {
        writer.await??;
    }
    let read = async || -> Outcome<(DeltaTable, String)> {
        let mut table = table("shared")?;
        table.load().await?;
        let context = SessionContext::new();
        context.register_table("shared", table.table_provider().await?)?;
        let query = "SELECT count(*), sum(number), count(DISTINCT number), min(text), max(text) FROM shared";
        let told = answer(&context, query).await?;
        Ok((table, told))
    };
    let total = WRITERS * COMMITS * ROWS;
    let expected =
        |from: i64| format!("{0} {1} {0} {SECRET} {SECRET}", total - from, (from..total).sum::<i64>());
    let (table, told) = read().await?;
    same(&told, &expected(0))?;
    same(&format!("{:?}", table.version()), &format!("{:?}", Some(WRITERS * COMMITS)))?;
    let (table, _) = table.delete().with_predicate(col("number").lt(lit(50_i64))).await?;
    table.optimize().await?;
    same(&read().await?.1, &expected(50))
}

/// DataFusion writes Parquet through the store, and reads it again.
async fn queries() -> Outcome {
    let context = SessionContext::new();
    let url = Url::parse("sealed://lake")?;
    context.register_object_store(&url, encrypted()?);
    context.register_batch("rows", rows(0, 10_000)?)?;
    let copy = "COPY (SELECT number, number % 3 AS part, text FROM rows) TO 'sealed://lake/queries/' \
                STORED AS PARQUET PARTITIONED BY (part)";
    same(&answer(&context, copy).await?, "10000")?;
    context.register_parquet("stored", "sealed://lake/queries/", ParquetReadOptions::default()).await?;
    let query = "SELECT count(*), sum(number), max(text) FROM stored WHERE number >= 5000";
    same(&answer(&context, query).await?, &format!("5000 37497500 {SECRET}"))
}

/// Looks at what is stored: sealed objects alone, in none of which the secret stands.
async fn stored() -> Outcome {
    let store = s3()?;
    let names: Vec<_> = store.list(None).map_ok(|meta| meta.location).try_collect().await?;
    let is_told = |name: &&str| names.iter().any(|found| found.as_ref().starts_with(*name));
    for missing in ["shared/_delta_log/", "queries/"].iter().filter(|name| !is_told(name)) {
        return Err(format!("nothing is stored below {missing}").into());
    }
    for name in names {
        let got = store.get(&name).await?;
        if !got.attributes.iter().any(|(attribute, _)| format!("{attribute:?}").contains("x-amz-3")) {
            return Err(format!("{name} has no envelope").into());
        }
        let body = got.bytes().await?;
        if [SECRET, "number", "PAR1"]
            .iter()
            .any(|text| body.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            return Err(format!("{name} is in the clear").into());
        }
    }
    Ok(())
}

async fn work() -> Outcome {
    shared().await?;
    queries().await?;
    stored().await
}

#[tokio::main]
async fn main() {
    match work().await {
        Ok(()) => println!("work: ok"),
        Err(error) => println!("work: failed: {error}"),
    }
}
