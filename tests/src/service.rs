//! The service in this process: its router and its server on a free port, over a fresh Postgres, and
//! the read models behind it, which follow the journal without NATS.
//!
//! A test ends with [`Service::finish`], which stops the server and audits the journal.

use std::io;
use std::sync::Arc;

use florin_adapters::audit::{AuditDesk, AuditLog, Secrets};
use florin_adapters::auth::Auth;
use florin_adapters::clock::SystemClock;
use florin_adapters::dead_letters::DeadLetterDesk;
use florin_adapters::fraud::FraudDesk;
use florin_adapters::http::{Api, ApiParts, BulkRoom, Dependencies, Edge, Panics, Recorder, serve};
use florin_adapters::intake;
use florin_adapters::live::{Bounds, Live};
use florin_adapters::nats::stream::StreamSettings;
use florin_adapters::operations::{OperationDesk, Retries};
use florin_adapters::postgres::PostgresJournal;
use florin_adapters::reads::{CACHED_BALANCES, Reads};
use florin_adapters::reports::ReportDesk;
use florin_adapters::worker::{Parts, Worker};
use florin_application::{Journal, Ledger, Settings};
use florin_projections::audit::Summary;
use florin_projections::models;
use florin_projections::read_model::Projection;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::contract;
use crate::event_stream::EventStream;
use crate::nats::OwnNats;
use crate::projecting::reader;
use crate::store::Store;

/// A running service.
pub struct Service {
    store: Store,
    ledger: Ledger,
    worker: Option<Worker>,
    log: AuditLog,
    url: String,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<io::Result<()>>,
    end: End,
}

impl Service {
    /// A service on a database of its own, in the shared Postgres.
    pub async fn start(partitions: u32) -> Self {
        Self::with(partitions, &Settings::default()).await
    }

    /// One in which only `POST /wallets` opens a wallet (`FLORIN_AUTO_OPEN=false`).
    pub async fn without_auto_open(partitions: u32) -> Self {
        Self::with(partitions, &Settings { auto_open: false, ..Settings::default() }).await
    }

    /// One with other settings.
    pub async fn with(partitions: u32, settings: &Settings) -> Self {
        Self::on(Store::postgres(partitions).await, settings).await
    }

    /// One on a journal in Postgres that exists already.
    pub async fn on(store: Store, settings: &Settings) -> Self {
        Self::folding(store, settings, models::all()).await
    }

    /// One with other bounds of its streams.
    pub async fn streaming(store: Store, bounds: Bounds) -> Self {
        let front = Front { bounds, ..Front::default() };
        Self::behind(store, &Settings::default(), models::all(), front).await
    }

    /// One with another edge; the client is one that trusts it.
    pub async fn at_edge(edge: Edge, client: Client) -> Self {
        let front = Front { edge, client, ..Front::default() };
        Self::behind(Store::postgres(1).await, &Settings::default(), models::all(), front).await
    }

    /// One with these read models, at work and at the desk where dead letters are replayed.
    pub async fn folding(
        store: Store,
        settings: &Settings,
        models: Vec<Arc<dyn Projection>>,
    ) -> Self {
        Self::behind(store, settings, models, Front::default()).await
    }

    /// One that wants to know who calls.
    pub async fn guarded(partitions: u32, auth: Auth) -> Self {
        let front = Front { auth, ..Front::default() };
        let store = Store::postgres(partitions).await;
        Self::behind(store, &Settings::default(), models::all(), front).await
    }

    /// One that keeps these out of its record of calls.
    pub async fn keeping_secret(names: &str) -> Self {
        let front = Front { secrets: Secrets::read(names).unwrap(), ..Front::default() };
        Self::behind(Store::postgres(1).await, &Settings::default(), models::all(), front).await
    }

    /// One that wants to know who calls, if it is said how, at another edge.
    pub async fn guarded_at_edge(auth: Auth, edge: Edge) -> Self {
        let front = Front { auth, edge, ..Front::default() };
        Self::behind(Store::postgres(1).await, &Settings::default(), models::all(), front).await
    }

    /// One that takes in operations, and works on them.
    pub async fn queueing(store: Store, auth: Auth, nats: &OwnNats, retries: Retries) -> Self {
        let queue = Some((nats.client().await, retries));
        let front = Front { auth, queue, ..Front::default() };
        Self::behind(store, &Settings::default(), models::all(), front).await
    }

    /// One that takes in what other services ask for.
    pub async fn taking_in(store: Store, nats: &OwnNats, intake: intake::Settings) -> Self {
        let front = Front { intake: Some((nats.client().await, intake)), ..Front::default() };
        Self::behind(store, &Settings::default(), models::all(), front).await
    }

    async fn behind(
        store: Store,
        settings: &Settings,
        models: Vec<Arc<dyn Projection>>,
        front: Front,
    ) -> Self {
        let Store::Postgres(journal, urls) = &store else {
            panic!("the service keeps its journal in Postgres");
        };
        let Front { auth, bounds, edge, client, secrets, queue, intake } = front;
        let pool = journal.pool().clone();
        let reads = Reads::start(&urls.service, journal.partitions(), CACHED_BALANCES).unwrap();
        let health =
            Dependencies { postgres: pool.clone(), reads: Some(reads.clone()), nats: None };
        let ledger = Ledger::open(store.journal(), Arc::new(SystemClock), settings);
        let log = AuditLog::start(pool.clone());
        let recorder = Recorder { log: log.clone(), secrets: Arc::new(secrets) };
        let api = Api::from(ApiParts {
            ledger: ledger.clone(),
            reads,
            live: Live::start_within(bounds, &urls.service, journal.partitions()).unwrap(),
            operations: OperationDesk::start(&urls.service, journal.partitions(), queue.is_some())
                .unwrap(),
            panics: Panics::default(),
            auto_open: settings.auto_open,
            auth,
            calls: AuditDesk::new(pool.clone()),
            recorder: Some(recorder),
            fraud: FraudDesk::new(pool.clone()),
            dead_letters: DeadLetterDesk::new(pool.clone(), reader(&store), models.clone()),
            reports: ReportDesk::new(
                pool,
                Arc::new(PostgresJournal::clone(journal)),
                Arc::new(SystemClock),
            ),
            health: Arc::new(health),
            as_of: None,
            bulks: BulkRoom::default(),
        });
        let queue = queue.map(|(nats, retries)| (nats, (ledger.clone(), retries)));
        let intake = intake.map(|(nats, settings)| (nats, (ledger.clone(), settings)));
        let worker = Some(work(&store, models, queue, intake));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (scheme, host) = match edge.tls {
            // Certificates are of names.
            Some(_) => ("https", "localhost"),
            None => ("http", "127.0.0.1"),
        };
        let url = format!("{scheme}://{host}:{}", listener.local_addr().unwrap().port());
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { stopped.await.unwrap_or_default() };
        let serving = tokio::spawn(serve(listener, api, edge, stopped));
        let end = End { is_reached: false };
        Self { store, ledger, worker, log, url, client, stop: Some(stop), serving, end }
    }

    /// The journal under it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The ledger in it, for what is too much for HTTP.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// Sends a JSON document.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_text(path, &body.to_string()).await
    }

    /// Sends a text as JSON, digit by digit.
    pub async fn post_text(&self, path: &str, body: &str) -> Answer {
        send(self.json(path, body)).await
    }

    /// Sends a JSON document with more headers.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let request = self.json(path, &body.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| {
            // A header is text here and bytes there.
            request.header(*name, value.as_bytes())
        });
        send(request).await
    }

    /// Sends a request with a token, and a JSON document if it is a write.
    pub async fn call_as(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let request = match method {
            Method::POST => self.json(path, &body.to_string()),
            _ => self.request(method, path),
        };
        send(request.bearer_auth(token)).await
    }

    /// Sends a request without a body.
    pub async fn call(&self, method: Method, path: &str) -> Answer {
        send(self.request(method, path)).await
    }

    /// A page for people, as text.
    pub async fn page(&self, path: &str) -> String {
        let response = self.request(Method::GET, path).send().await.unwrap();
        response.error_for_status().unwrap().text().await.unwrap()
    }

    /// Opens a stream; after an id, or now.
    pub async fn stream(&self, path: &str, last_id: Option<&str>) -> EventStream {
        let request = self.request(Method::GET, path);
        let request =
            last_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        EventStream::open(request).await
    }

    /// A request without a body, to be completed by the test.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn json(&self, path: &str, body: &str) -> RequestBuilder {
        let request = self.request(Method::POST, path);
        request.header(CONTENT_TYPE, "application/json").body(body.to_owned())
    }

    /// Tells the server to stop, while something is under way that is to be seen.
    pub fn begin_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    /// Stops the server and audits the journal.
    pub async fn finish(self) -> Summary {
        self.stop().await.audit().await
    }

    /// Stops the server; for a journal that the test has poisoned, which passes no audit.
    pub async fn stop(mut self) -> Store {
        self.end.is_reached = true;
        self.begin_to_stop();
        drop((self.client, self.ledger));
        self.serving.await.unwrap().unwrap();
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
        self.log.stop().await;
        self.store
    }

    /// Lets the read models stand still.
    pub async fn stop_work(&mut self) {
        self.worker.take().expect("it works").stop().await;
    }

    /// Lets work go on that stood still, and operations be carried out.
    pub async fn start_work(&mut self, nats: &OwnNats) {
        let queue = (nats.client().await, (self.ledger.clone(), Retries::USUAL));
        self.worker = Some(work(&self.store, models::all(), Some(queue), None));
    }

    /// A worker besides, as another process would run it.
    pub fn worker(&self) -> Worker {
        work(&self.store, models::all(), None, None)
    }
}

/// How a service meets its clients.
struct Front {
    auth: Auth,
    bounds: Bounds,
    edge: Edge,
    client: Client,
    secrets: Secrets,
    queue: Option<(async_nats::Client, Retries)>,
    intake: Option<(async_nats::Client, intake::Settings)>,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            auth: Auth::Off,
            bounds: Bounds::SERVICE,
            edge: Edge::default(),
            client: Client::new(),
            secrets: Secrets::read("").unwrap(),
            queue: None,
            intake: None,
        }
    }
}

/// The read models, which follow the journal without NATS; operations, where there is a queue; and what
/// other services ask for, where it is taken in.
fn work(
    store: &Store,
    models: Vec<Arc<dyn Projection>>,
    queue: Option<(async_nats::Client, (Ledger, Retries))>,
    intake: Option<(async_nats::Client, (Ledger, intake::Settings))>,
) -> Worker {
    let Store::Postgres(journal, urls) = store else {
        panic!("read models are kept in Postgres");
    };
    let (nats, operations) = queue.unzip();
    let (intake_nats, intake) = intake.unzip();
    Worker::start(Parts {
        database_url: urls.service.clone(),
        journal: PostgresJournal::clone(journal),
        nats: nats.or(intake_nats),
        streams: StreamSettings::default(),
        models,
        policy: None,
        operations,
        intake,
    })
    .unwrap()
}

/// Sends a request, takes the whole answer in, and holds it against the contract.
pub async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.unwrap()
}

/// The same, where the service may be away.
pub async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let (client, request) = request.build_split();
    let request = request?;
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    let answer = Answer { status, headers, text, body };
    contract::check(&method, &path, &answer);
    Ok(answer)
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// All of them.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; `null` if it is none.
    pub body: Value,
}

impl Answer {
    /// The value of a header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A text in the body.
    #[track_caller]
    pub fn text_of(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no text {name} in {self}"))
    }

    /// What `Retry-After` says.
    #[track_caller]
    pub fn seconds_to_wait(&self) -> u64 {
        let seconds = self.header("retry-after").unwrap_or_else(|| panic!("no wait in {self}"));
        seconds.parse().unwrap()
    }

    /// Whether the key had been answered before.
    pub fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Fails the test unless the body has these members, whatever else it has.
    #[track_caller]
    pub fn expect_members(&self, members: Value) -> &Self {
        for (name, expected) in members.as_object().unwrap() {
            assert_eq!(&self.body[name], expected, "{name} in {self}");
        }
        self
    }

    /// Fails the test unless this is a complete problem document of this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, &self.body["code"]), (status, &code.into()), "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.text_of("type"), format!("urn:florin:problem:{code}"));
        assert_eq!(self.body["status"], status);
        assert!(!self.text_of("title").is_empty() && !self.text_of("detail").is_empty(), "{self}");
        let trace = self.text_of("traceId");
        assert!(trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()), "{trace}");
        assert_eq!(self.header("x-trace-id"), Some(trace));
        let passes =
            ["request-in-progress", "busy", "read-model-behind", "too-many-streams", "unavailable"];
        let passes = passes.contains(&code);
        match code {
            // It knows how long that takes.
            "rate-limited" => assert!(self.seconds_to_wait() >= 1, "{self}"),
            _ => assert_eq!(self.header("retry-after"), passes.then_some("1"), "{self}"),
        }
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.text)
    }
}

/// Whether the test came to its end; one that forgets to would not be audited.
struct End {
    is_reached: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.is_reached && !std::thread::panicking() {
            panic!("a test of the service ends with `finish().await`, which audits its journal");
        }
    }
}
