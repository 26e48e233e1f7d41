//! What is known of a request once it has ended: its answer's last byte has gone, or its connection broke. It is written down along
//! the request's way ([`note`], [`detail`]) and handed to every [`Observer`] once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, Request, StatusCode};
use parking_lot::{Mutex, RwLock};

use super::detail::{RequestDetail, TlsSession};
use super::texts::Text;

tokio::task_local! {
    /// The request that this task answers.
    static CURRENT: Arc<Recording>;
}

/// A request that has ended.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// When its head had come.
    pub arrived: SystemTime,
    /// From there to its end.
    pub duration: Duration,
    /// From its arrival until the head of its answer was ready to go; `None`: there was no answer.
    pub time_to_first_byte: Option<Duration>,
    /// From the last byte of its body until the head of its answer was ready; `None`: there was no answer.
    pub turnaround: Option<Duration>,
    /// Who sent it.
    pub remote: SocketAddr,
    /// The service that was asked.
    pub service: Service,
    /// The operation, of the service's closed set; `None`: it asks for none that the service has.
    pub operation: Option<&'static str>,
    /// Its method.
    pub method: Method,
    /// What it was answered; `None`: its connection broke before.
    pub status: Option<StatusCode>,
    /// The error's code, of the service's closed set.
    pub error_code: Option<&'static str>,
    /// Bytes of its body that came, as they were sent.
    pub received_len: u64,
    /// Bytes of the answer's body that were given to the connection.
    pub sent_len: u64,
    /// Did all of the answer go?
    pub is_whole: bool,
    /// What only logs and traces tell; `None`: nobody had asked for it when the request began.
    pub detail: Option<Box<RequestDetail>>,
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if let Some(detail) = self.detail.take() {
            detail.keep();
        }
    }
}

/// A service that this gateway answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Service {
    /// S3.
    #[default]
    S3,
    /// KMS.
    Kms,
    /// IAM.
    Iam,
    /// STS.
    Sts,
    /// MinIO's admin API and its health checks.
    Minio,
    /// The gateway's own paths: health, metrics.
    Admin,
}

impl Service {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::S3, Self::Kms, Self::Iam, Self::Sts, Self::Minio, Self::Admin];

    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Kms => "kms",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Minio => "minio",
            Self::Admin => "admin",
        }
    }
}

/// What is needed of a request, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// Nothing.
    Nothing,
    /// Its record without [`RequestRecord::detail`].
    Record,
    /// Its record, without what was asked for and answered ([`RequestDetail::parameters`], [`RequestDetail::response`]).
    Detail,
    /// Its record, with all that is known.
    Parameters,
}

/// Who is told of requests. It is asked on the threads that serve them: nothing here may wait.
pub trait Observer: Send + Sync {
    /// What it needs of the request that begins now.
    fn wants(&self) -> Wants;

    /// A request begins.
    fn begins(&self) {}

    /// A request has ended.
    fn ended(&self, record: &RequestRecord);

    /// Does it keep records? Then it is told last, and gets them without a copy ([`Observer::ended_last`]), but for a second one that does.
    fn keeps(&self) -> bool {
        false
    }

    /// As [`Observer::ended`], for one that keeps records and is told last.
    fn ended_last(&self, record: RequestRecord) {
        self.ended(&record);
    }
}

type List = Vec<Arc<dyn Observer>>;

/// Who is told of requests now. Clones are one list.
#[derive(Clone, Default)]
pub struct Observers(Arc<Registry>);

#[derive(Default)]
struct Registry {
    list: RwLock<List>,
    /// How often the list has changed.
    changes: AtomicU64,
}

impl Registry {
    fn change(&self, change: impl FnOnce(&mut List)) {
        let mut list = self.list.write();
        change(&mut list);
        self.changes.fetch_add(1, Ordering::Release);
    }
}

impl Observers {
    /// Those of this process, whichever gateway in it serves.
    pub fn of_process() -> &'static Self {
        static ALL: LazyLock<Observers> = LazyLock::new(Observers::default);
        &ALL
    }

    /// Tells this one, too, of requests that begin from now on, until what is answered is dropped.
    pub fn add(&self, observer: Arc<dyn Observer>) -> Subscription {
        self.0.change(|list| {
            let at = if observer.keeps() { list.len() } else { 0 };
            list.insert(at, observer.clone());
        });
        Subscription { observers: self.clone(), observer }
    }

    /// The same for the requests of one connection.
    pub fn of_connection(&self) -> ConnectionObservers {
        ConnectionObservers { all: self.clone(), seen: Mutex::new(self.look()) }
    }

    fn look(&self) -> (u64, Arc<List>) {
        // Before the list: one that changes meanwhile is looked at again.
        let changes = self.0.changes.load(Ordering::Acquire);
        (changes, Arc::new(self.0.list.read().clone()))
    }
}

/// Who is told of the requests of a connection. It has a list of its own, so that connections on different processors share nothing that
/// each request writes to.
pub struct ConnectionObservers {
    all: Observers,
    seen: Mutex<(u64, Arc<List>)>,
}

impl ConnectionObservers {
    fn now(&self) -> Arc<List> {
        let mut seen = self.seen.lock();
        if seen.0 != self.all.0.changes.load(Ordering::Acquire) {
            *seen = self.all.look();
        }
        seen.1.clone()
    }

    /// Begins the record of a request; `None`: nobody wants one.
    pub fn begin<B>(
        &self,
        request: &Request<B>,
        remote: SocketAddr,
        tls: Option<&Arc<TlsSession>>,
    ) -> Option<Arc<Recording>> {
        let observers = self.now();
        let wants = observers.iter().map(|observer| observer.wants()).max();
        let wants = match wants {
            None | Some(Wants::Nothing) => return None,
            Some(wants) => wants,
        };
        let wants_detail = wants >= Wants::Detail;
        for observer in &*observers {
            observer.begins();
        }
        let detail = wants_detail.then(|| {
            let mut detail = RequestDetail::new();
            detail.version = request.version();
            detail.tls = tls.cloned();
            detail.wants_parameters = wants >= Wants::Parameters;
            let texts = &mut detail.texts;
            texts.set(Text::Path, request.uri().path());
            if let Some(query) = request.uri().query() {
                texts.set(Text::Query, query);
            }
            // One look at all of them costs less than one for each. Of several of a name the first counts.
            for (name, value) in request.headers() {
                let text = match name.as_str() {
                    "host" => Text::Host,
                    "referer" => Text::Referer,
                    "user-agent" => Text::UserAgent,
                    "traceparent" => Text::TraceParent,
                    _ => continue,
                };
                if texts.bytes(text).is_none() {
                    texts.set(text, value);
                }
            }
            if let (None, Some(authority)) = (texts.bytes(Text::Host), request.uri().authority()) {
                texts.set(Text::Host, authority.as_str());
            }
            detail
        });
        let record = RequestRecord {
            arrived: SystemTime::now(),
            duration: Duration::ZERO,
            time_to_first_byte: None,
            turnaround: None,
            remote,
            service: Service::S3,
            operation: None,
            method: request.method().clone(),
            status: None,
            error_code: None,
            received_len: 0,
            sent_len: 0,
            is_whole: false,
            detail,
        };
        Some(Arc::new(Recording {
            observers,
            began: Instant::now(),
            wants_detail,
            record: Mutex::new(record),
            received_len: AtomicU64::new(0),
            received_ns: AtomicU64::new(0),
            sent_len: AtomicU64::new(0),
            is_whole: AtomicBool::new(false),
        }))
    }
}

/// Until this is dropped, an observer is told of requests.
#[must_use = "dropped, it ends"]
pub struct Subscription {
    observers: Observers,
    observer: Arc<dyn Observer>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.observers.0.change(|list| list.retain(|other| !Arc::ptr_eq(other, &self.observer)));
    }
}

/// The record of a request that goes on. Its observers are told when the last who holds it lets go.
pub struct Recording {
    observers: Arc<List>,
    began: Instant,
    wants_detail: bool,
    record: Mutex<RequestRecord>,
    received_len: AtomicU64,
    /// When the last bytes of the body came, in nanoseconds since the beginning.
    received_ns: AtomicU64,
    sent_len: AtomicU64,
    is_whole: AtomicBool,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Recording {
    /// Runs what answers the request; [`note`] and [`detail`] are of this record inside.
    pub fn scope<F: Future>(self: Arc<Self>, answering: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, answering)
    }

    /// So many bytes of the body came.
    pub fn has_received(&self, len: usize) {
        self.received_len.fetch_add(len as u64, Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.received_ns.store(now, Ordering::Relaxed);
    }

    /// So many bytes of the answer's body were given to the connection.
    pub fn has_sent(&self, len: usize) {
        self.sent_len.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// The answer is ready to go.
    pub fn answered(&self, status: StatusCode) {
        let after = self.began.elapsed();
        let received = Duration::from_nanos(self.received_ns.load(Ordering::Relaxed));
        let mut record = self.record.lock();
        record.status = Some(status);
        record.time_to_first_byte = Some(after);
        record.turnaround = Some(after.saturating_sub(received));
    }

    /// Looks at what is known of it, once it is known what it is answered.
    pub fn look<T>(&self, status: StatusCode, look: impl FnOnce(&RequestRecord) -> T) -> T {
        let mut record = self.record.lock();
        record.received_len = self.received_len.load(Ordering::Relaxed);
        // Until the answer's head has gone, it counts as none.
        let former = record.status.replace(status);
        let seen = look(&record);
        record.status = former;
        seen
    }

    /// All of the answer has gone.
    pub fn is_whole(&self) {
        self.is_whole.store(true, Ordering::Relaxed);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let record = self.record.get_mut();
        record.duration = self.began.elapsed();
        record.received_len = *self.received_len.get_mut();
        record.sent_len = *self.sent_len.get_mut();
        record.is_whole = *self.is_whole.get_mut();
        let Some((last, others)) = self.observers.split_last() else { return };
        for observer in others {
            observer.ended(record);
        }
        if !last.keeps() {
            return last.ended(record);
        }
        let detail = record.detail.take();
        let mut record = record.clone();
        record.detail = detail;
        last.ended_last(record);
    }
}

/// Writes down something of the request that this task answers. Nothing happens where none is answered, or nobody wants to know.
pub fn note(write: impl FnOnce(&mut RequestRecord)) {
    let _ = CURRENT.try_with(|recording| write(&mut recording.record.lock()));
}

/// As [`note`], of what only logs and traces tell: `write` is not run where none of them is on.
pub fn detail(write: impl FnOnce(&mut RequestDetail)) {
    detail_of_operation(|_, detail| write(detail));
}

/// As [`detail`], with the operation.
pub fn detail_of_operation(write: impl FnOnce(Option<&'static str>, &mut RequestDetail)) {
    let _ = CURRENT.try_with(|recording| {
        if recording.wants_detail {
            let mut record = recording.record.lock();
            let operation = record.operation;
            if let Some(detail) = &mut record.detail {
                write(operation, detail);
            }
        }
    });
}

/// As [`detail`], of what was asked for and answered.
pub fn parameters(write: impl FnOnce(&mut RequestDetail)) {
    detail(|detail| {
        if detail.wants_parameters {
            write(detail);
        }
    });
}

/// The record of the request that this task answers, for a task that works for it.
pub fn current() -> Option<Arc<Recording>> {
    CURRENT.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::super::detail::KEPT;
    use super::*;

    /// Operation, bytes received, bucket, and whether all of the answer has gone.
    type Told = (Option<&'static str>, u64, Option<String>, bool);

    struct Seen {
        wants: Wants,
        ended: Mutex<Vec<Told>>,
    }

    impl Observer for Seen {
        fn wants(&self) -> Wants {
            self.wants
        }

        fn ended(&self, record: &RequestRecord) {
            let bucket = record.detail.as_ref().and_then(|detail| detail.bucket().map(str::to_owned));
            self.ended.lock().push((record.operation, record.received_len, bucket, record.is_whole));
        }
    }

    fn seen(wants: Wants) -> Arc<Seen> {
        Arc::new(Seen { wants, ended: Mutex::default() })
    }

    fn begin(observers: &ConnectionObservers) -> Option<Arc<Recording>> {
        observers.begin(&Request::new(()), SocketAddr::from(([127, 0, 0, 1], 1)), None)
    }

    #[test]
    fn a_detail_that_is_used_again_tells_nothing_of_before() {
        let observers = Observers::default();
        let _subscription = observers.add(seen(Wants::Detail));
        let connection = observers.of_connection();
        let place = |recording: &Recording, write: fn(&mut RequestDetail)| {
            let mut record = recording.record.lock();
            let detail = record.detail.as_mut().unwrap();
            assert_eq!((detail.object(), detail.is_by_acl, &detail.error_message), (None, false, &None));
            write(detail);
            &raw const **detail as usize
        };
        let recording = begin(&connection).unwrap();
        let first = place(&recording, |detail| {
            detail.texts.set(Text::Object, "a secret");
            detail.is_by_acl = true;
            detail.error_message = Some("no".to_owned());
        });
        drop(recording);
        let recording = begin(&connection).unwrap();
        let second = place(&recording, |detail| detail.texts.set(Text::Object, vec![b'x'; 1 << 20]));
        assert_eq!(first, second);
        drop(recording);
        assert_eq!(KEPT.with_borrow(Vec::len), 0, "one of much room is not kept");
        let many = (0..2 * RequestDetail::MAX_KEPT).map(|_| begin(&connection).unwrap());
        drop(many.collect::<Vec<_>>());
        assert_eq!(KEPT.with_borrow(Vec::len), RequestDetail::MAX_KEPT);
    }

    #[tokio::test]
    async fn an_ended_request_is_told_once_with_what_was_noted() {
        let observers = Observers::default();
        let connection = observers.of_connection();
        assert!(begin(&connection).is_none());
        let idle = observers.add(seen(Wants::Nothing));
        assert!(begin(&connection).is_none());
        let observer = seen(Wants::Record);
        let subscription = observers.add(observer.clone());
        let recording = begin(&connection).unwrap();
        let noted = recording.clone();
        recording
            .scope(async {
                note(|record| record.operation = Some("GetObject"));
                detail(|_| panic!("nobody wants details"));
            })
            .await;
        noted.has_received(7);
        noted.is_whole();
        assert!(observer.ended.lock().is_empty());
        drop(noted);
        assert_eq!(*observer.ended.lock(), [(Some("GetObject"), 7, None, true)]);

        let detailed = seen(Wants::Detail);
        let second = observers.add(detailed.clone());
        drop(subscription);
        let recording = begin(&connection).unwrap();
        recording
            .scope(async {
                parameters(|_| panic!("nobody wants parameters"));
                detail(|detail| detail.texts.set(Text::Bucket, "bbb"));
            })
            .await;
        assert_eq!(*detailed.ended.lock(), [(None, 0, Some("bbb".to_owned()), false)]);
        assert_eq!(observer.ended.lock().len(), 1);
        let third = observers.add(seen(Wants::Parameters));
        let recording = begin(&connection).unwrap();
        recording.scope(async { parameters(|detail| detail.texts.set(Text::Bucket, "ccc")) }).await;
        assert_eq!(detailed.ended.lock().last().unwrap().2.as_deref(), Some("ccc"));
        drop((second, third, idle));
        assert!(begin(&connection).is_none());
    }
}
