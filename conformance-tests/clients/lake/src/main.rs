//! Tables of delta-rs that several writers change at once, and queries of DataFusion, over `EncryptedStore`: nothing that reaches the store
//! is in the clear, and nothing of it can be read without the key. Prints `work: ok`. AWS_ENDPOINT_URL says which S3, CLIENT_BUCKET which bucket,
//! which is empty; CLIENT_OTHER_ENDPOINT and CLIENT_OTHER_BUCKET name a second one, where all is done again.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use deltalake_core::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake_core::arrow::util::display::array_value_to_string;
use deltalake_core::datafusion::prelude::{ParquetReadOptions, SessionContext, col, lit};
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::kernel::{DataType, PrimitiveType, StructField};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use s3_encryption_client::Settings;
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::object_store_0_13::{EncryptedStore, Ranges, read_envelope};
use tokio::sync::Barrier;
use url::Url;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const WRITERS: i64 = 8;
const COMMITS: i64 = 5;
const ROWS: i64 = 100;
/// All rows of the shared table: a commit alone, then those of the writers.
const TOTAL: i64 = (1 + WRITERS * COMMITS) * ROWS;
/// The version with all of them: creation is version 0.
const FULL: i64 = 1 + WRITERS * COMMITS;
const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];
/// What stands in every row, and nowhere in the store.
const SECRET: &str = "what nobody else may read";

/// A bucket of an S3.
#[derive(Clone)]
struct Place {
    endpoint: String,
    bucket: String,
}

impl Place {
    fn s3(&self) -> Outcome<AmazonS3> {
        let builder =
            AmazonS3Builder::from_env().with_endpoint(&self.endpoint).with_bucket_name(&self.bucket);
        Ok(builder.with_allow_http(true).build()?)
    }

    fn encrypted(&self, key: [u8; 32]) -> Outcome<Arc<EncryptedStore<AmazonS3>>> {
        let store = EncryptedStore::new(self.s3()?, Arc::new(AesKeyring::new(&key)?), Settings::new())?;
        // Readers of Parquet ask for ranges.
        Ok(Arc::new(store.ignore_instruction_files().ranges(Ranges::FetchWhole)))
    }

    /// The shared table over a store of its own, as another process would open it.
    fn table(&self) -> Outcome<DeltaTable> {
        table_over(self.encrypted(KEY)?)
    }

    /// The same, read.
    async fn loaded(&self) -> Outcome<DeltaTable> {
        let mut table = self.table()?;
        table.load().await?;
        Ok(table)
    }
}

fn table_over(store: Arc<dyn ObjectStore>) -> Outcome<DeltaTable> {
    // The scheme chooses the commits by conditional puts; the store is ours.
    let url = Url::parse("memory:///shared")?;
    Ok(DeltaTableBuilder::from_url(url.clone())?.with_storage_backend(store, url).build()?)
}

/// Rows of a writer: their numbers, who wrote them, and the secret.
fn rows(numbers: Range<i64>, writer: i64) -> Outcome<RecordBatch> {
    let count = numbers.clone().count();
    let texts = StringArray::from_iter_values(std::iter::repeat_n(SECRET, count));
    let writers = Int64Array::from_iter_values(std::iter::repeat_n(writer, count));
    let numbers = Int64Array::from_iter_values(numbers);
    let columns = [
        ("number", Arc::new(numbers) as _),
        ("writer", Arc::new(writers) as _),
        ("text", Arc::new(texts) as _),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// The numbers that a writer's commit adds.
fn numbers_of(writer: i64, commit: i64) -> Range<i64> {
    let from = (1 + writer * COMMITS + commit) * ROWS;
    from..from + ROWS
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

/// What a query answers of a table at its version.
async fn asked(table: &DeltaTable, query: &str) -> Outcome<String> {
    let context = SessionContext::new();
    table.update_datafusion_session(&context.state())?;
    context.register_table("shared", table.table_provider().await?)?;
    answer(&context, query).await
}

fn same(what: &str, found: &str, expected: &str) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found} in place of {expected}").into()) }
}

/// Whether the rows with these numbers, each once, are all that the table holds.
async fn holds(what: &str, table: &DeltaTable, numbers: Range<i64>) -> Outcome {
    let query = "SELECT count(*), sum(number), count(DISTINCT number), min(text), max(text) FROM shared";
    let (count, sum) = (numbers.end - numbers.start, numbers.sum::<i64>());
    same(what, &asked(table, query).await?, &format!("{count} {sum} {count} {SECRET} {SECRET}"))
}

async fn append(table: DeltaTable, rows: RecordBatch) -> Outcome<DeltaTable> {
    // Each loses a put to each of the others at the worst, and several times.
    let patient = CommitProperties::default().with_max_retries(200);
    Ok(table.write([rows]).with_commit_properties(patient).await?)
}

async fn write(place: Place, writer: i64, all: Arc<Barrier>) -> Outcome {
    let mut table = place.loaded().await?;
    for commit in 0..COMMITS {
        all.wait().await;
        table = append(table, rows(numbers_of(writer, commit), writer)?).await?;
    }
    Ok(())
}

/// Writers at once, none of whose commits is lost; earlier versions; a deletion and a compaction.
async fn shared(place: &Place) -> Outcome {
    let column = |name, kind| StructField::new(name, DataType::Primitive(kind), true);
    let columns = [
        column("number", PrimitiveType::Long),
        column("writer", PrimitiveType::Long),
        column("text", PrimitiveType::String),
    ];
    let table = place.table()?.create().with_columns(columns).await?;
    append(table, rows(0..ROWS, -1)?).await?;
    let all = Arc::new(Barrier::new(usize::try_from(WRITERS)?));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(place.clone(), writer, all.clone()))).collect();
    for writer in writers {
        writer.await??;
    }

    let table = place.loaded().await?;
    same("version", &format!("{:?}", table.version()), &format!("{:?}", Some(FULL)))?;
    holds("all rows", &table, 0..TOTAL).await?;
    let query = "SELECT writer, count(*), sum(number) FROM shared WHERE number % 3 = 0 AND number >= 1000 \
                 GROUP BY writer ORDER BY writer";
    let expected = (0..WRITERS).filter_map(|writer| {
        let numbers: Vec<i64> = (0..COMMITS)
            .flat_map(|commit| numbers_of(writer, commit))
            .filter(|number| number % 3 == 0 && *number >= 1000)
            .collect();
        (!numbers.is_empty()).then(|| format!("{writer} {} {}", numbers.len(), numbers.iter().sum::<i64>()))
    });
    same("by writer", &asked(&table, query).await?, &expected.collect::<Vec<_>>().join(" "))?;
    let lost = lost_puts(&table).await?;
    eprintln!(
        "{}: {TOTAL} rows by {WRITERS} writers, {FULL} commits, {lost} puts of commits lost to another writer's",
        place.bucket
    );
    if lost == 0 {
        return Err("no writer met another one".into());
    }

    let (table, _) = table.delete().with_predicate(col("number").lt(lit(50_i64))).await?;
    table.optimize().await?;
    let mut table = place.loaded().await?;
    holds("after the deletion", &table, 50..TOTAL).await?;
    table.load_version(FULL.try_into()?).await?;
    holds("before the deletion", &table, 0..TOTAL).await?;
    table.load_version(1).await?;
    holds("first version", &table, 0..ROWS).await?;
    let half = 1 + WRITERS * COMMITS / 2;
    table.load_version(half.try_into()?).await?;
    let counted = asked(&table, "SELECT count(number), count(DISTINCT number) FROM shared").await?;
    same("half of the commits", &counted, &format!("{0} {0}", half * ROWS))
}

/// How often a commit's name was taken when it was put: each commit tells of its own.
async fn lost_puts(table: &DeltaTable) -> Outcome<u64> {
    let commits: Vec<_> = table.history(None).try_collect().await?;
    let of = |metrics: &serde_json::Value| metrics.get("num_retries").and_then(serde_json::Value::as_u64);
    Ok(commits.iter().filter_map(|commit| of(commit.info.get("operationMetrics")?)).sum())
}

/// DataFusion writes Parquet through the store, and reads it again.
async fn queries(place: &Place) -> Outcome {
    let context = SessionContext::new();
    let url = Url::parse("sealed://lake")?;
    context.register_object_store(&url, place.encrypted(KEY)?);
    context.register_batch("rows", rows(0..10_000, 0)?)?;
    let copy = "COPY (SELECT number, number % 3 AS part, text FROM rows) TO 'sealed://lake/queries/' \
                STORED AS PARQUET PARTITIONED BY (part)";
    same("copied", &answer(&context, copy).await?, "10000")?;
    context.register_parquet("stored", "sealed://lake/queries/", ParquetReadOptions::default()).await?;
    let query = "SELECT count(*), sum(number), max(text) FROM stored WHERE number >= 5000";
    same("stored", &answer(&context, query).await?, &format!("5000 37497500 {SECRET}"))
}

/// Looks at what is stored: sealed objects alone, which are Parquet and commits to who has the key and to nobody else.
async fn stored(place: &Place) -> Outcome {
    let (store, sealed) = (place.s3()?, place.encrypted(KEY)?);
    let metas: Vec<_> = store.list(None).try_collect().await?;
    let (mut parquet, mut commits) = (0, 0);
    for name in metas.into_iter().map(|meta| meta.location) {
        read_envelope(&store, &name, None)
            .await
            .map_err(|error| format!("{name} has no envelope: {error}"))?;
        let body = store.get(&name).await?.bytes().await?;
        let tells = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        if body.starts_with(b"PAR1") || body.ends_with(b"PAR1") || tells(SECRET) || tells("commitInfo") {
            return Err(format!("{name} is in the clear").into());
        }
        let plain = sealed.get(&name).await?.bytes().await?;
        let is_parquet = plain.starts_with(b"PAR1") && plain.ends_with(b"PAR1");
        match name.extension() {
            Some("parquet") if is_parquet => parquet += 1,
            Some("json") if plain.starts_with(b"{\"") => commits += 1,
            _ => {}
        }
    }
    eprintln!("{}: {parquet} files of Parquet and {commits} of the log, all sealed", place.bucket);
    if parquet <= FULL || commits <= FULL {
        return Err("there are fewer than were written".into());
    }
    let first = "shared/_delta_log/00000000000000000000.json".into();
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match sealed.put_opts(&first, "{}".into(), create).await {
        Err(StoreError::AlreadyExists { .. }) => Ok(()),
        other => Err(format!("a commit was put a second time: {other:?}").into()),
    }
}

/// Neither who has another key nor who has none reads the table.
async fn closed(place: &Place) -> Outcome {
    let stores: [(&str, Arc<dyn ObjectStore>); 2] =
        [("with another key", place.encrypted(OTHER_KEY)?), ("without a key", Arc::new(place.s3()?))];
    for (how, store) in stores {
        match table_over(store.clone())?.load().await {
            Ok(()) => return Err(format!("the table opens {how}").into()),
            // Behind the first line comes a trace.
            Err(error) => {
                eprintln!(
                    "{}: {how}: {}",
                    place.bucket,
                    error.to_string().lines().next().unwrap_or_default()
                );
            }
        }
        let context = SessionContext::new();
        context.register_object_store(&Url::parse("sealed://lake")?, store);
        let options = ParquetReadOptions::default();
        if context.register_parquet("stored", "sealed://lake/queries/", options).await.is_ok() {
            return Err(format!("Parquet opens {how}").into());
        }
    }
    Ok(())
}

async fn work() -> Outcome {
    let place = |endpoint, bucket| Some(Place { endpoint: variable(endpoint)?, bucket: variable(bucket)? });
    let first =
        place("AWS_ENDPOINT_URL", "CLIENT_BUCKET").ok_or("AWS_ENDPOINT_URL or CLIENT_BUCKET is not set")?;
    for place in [Some(first), place("CLIENT_OTHER_ENDPOINT", "CLIENT_OTHER_BUCKET")].into_iter().flatten() {
        let done = async {
            shared(&place).await?;
            queries(&place).await?;
            stored(&place).await?;
            closed(&place).await
        };
        done.await.map_err(|error| format!("{}: {error}", place.endpoint))?;
    }
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::main]
async fn main() {
    match work().await {
        Ok(()) => println!("work: ok"),
        Err(error) => println!("work: failed: {error}"),
    }
}
