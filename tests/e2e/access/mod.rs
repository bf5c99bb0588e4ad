//! Who may do what with NATS, by the configuration that is committed: `deploy/nats/server.conf`, on a
//! real nats-server with TLS.

mod forbidden;
mod pipeline;
mod readers;
mod subscribers;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use florin_adapters::dev::usual_places;
use florin_adapters::nats::stream::{
    ALERTS, DEAD_LETTERS, INTAKE, LEDGER, OUTCOMES, StreamSettings, ensure,
};
use florin_adapters::nats::{Access, connect_as};
use florin_tests::process::free_port;
use florin_tests::store::eventually;
use futures::{FutureExt, StreamExt};
use rcgen::CertifiedKey;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Who is in the configuration, and logs in with a password: the name, with this before it.
const USERS: [&str; 5] = ["florin", "billing", "people", "payments", "operator"];

/// What the intake takes.
const TAKEN: [&str; 3] = ["user.signup", "transaction.completed", "transaction.failed"];

/// A nats-server as it is deployed.
struct Guarded {
    _server: Child,
    port: u16,
    dir: TempDir,
}

impl Guarded {
    /// Starts it, and returns when Florin may use it.
    async fn start() -> Self {
        let (dir, port) = (TempDir::new().unwrap(), free_port());
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
        let configuration =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/server.conf");
        let programs = usual_places().into_iter().map(|place| place.join("nats-server"));
        let program = programs.into_iter().find(|program| program.is_file()).unwrap();
        let log = std::fs::File::create(dir.path().join("nats.log")).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(configuration);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        command.env("NATS_STORE_DIR", dir.path().join("store"));
        command.env("NATS_TLS_CERT", dir.path().join("cert.pem"));
        command.env("NATS_TLS_KEY", dir.path().join("key.pem"));
        for user in USERS {
            command.env(format!("NATS_{}_PASSWORD", user.to_uppercase()), password(user));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = command.kill_on_drop(true).spawn().unwrap();
        let guarded = Self { _server: server, port, dir };
        guarded.ready().await;
        guarded
    }

    async fn ready(&self) {
        let florin = self.florin().await;
        eventually("JetStream answers", async || {
            let log = || std::fs::read_to_string(self.dir.path().join("nats.log")).unwrap();
            let asked = tokio::time::timeout(
                Duration::from_secs(5),
                florin.request("$JS.API.INFO", "".into()),
            );
            match asked.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("{error}\n{}", log())),
                Err(_) => Err(log()),
            }
        })
        .await;
    }

    /// Where a user logs in.
    fn url(&self, user: &str) -> String {
        format!("tls://{user}:{}@localhost:{}", password(user), self.port)
    }

    /// Whom to trust.
    fn ca(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Florin, as it connects by itself.
    async fn florin(&self) -> Client {
        let (url, ca) = (Some(self.url("florin")), Some(self.ca()));
        connect_as(&Access { url, ca, credentials: None }).await.unwrap().unwrap()
    }

    /// The streams of Florin.
    async fn streams(&self) -> jetstream::Context {
        let client = self.florin().await;
        let settings = StreamSettings { max_bytes: 1 << 20, ..StreamSettings::default() };
        for stream in [LEDGER, ALERTS, DEAD_LETTERS, INTAKE, OUTCOMES] {
            ensure(&client, stream, &settings).await.unwrap();
        }
        jetstream::new(client)
    }

    /// Another service, with what the server complains of.
    async fn service(&self, user: &str) -> Service {
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complaints);
        let client = ConnectOptions::with_user_and_password(user.to_owned(), password(user))
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .tls_client_config(florin_adapters::nats::tls(Some(&self.ca())).unwrap())
            .event_callback(move |event| {
                let heard = Arc::clone(&heard);
                async move {
                    if let Event::ServerError(error) = event {
                        heard.lock().unwrap().push(error.to_string().to_lowercase());
                    }
                }
            })
            .connect(format!("tls://localhost:{}", self.port))
            .await
            .unwrap();
        let answers = client.subscribe(format!("_INBOX_{user}.answers")).await.unwrap();
        Service { user: user.to_owned(), client, complaints, answers }
    }
}

/// A client of the server besides Florin.
struct Service {
    user: String,
    client: Client,
    complaints: Arc<Mutex<Vec<String>>>,
    /// To what it published.
    answers: Subscriber,
}

impl Service {
    fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    /// Waits until the server has complained of this: that it is published, or subscribed to.
    async fn violation(&self, act: &str, subject: &str) {
        let wanted = format!("permissions violation for {act} to \"{subject}\"").to_lowercase();
        eventually(&format!("the server refuses {subject}"), async || {
            let complaints = self.complaints.lock().unwrap().clone();
            let found = complaints.iter().any(|line| line.contains(&wanted));
            if found { Ok(()) } else { Err(complaints) }
        })
        .await;
    }

    /// The server refuses what is published there.
    async fn may_not_publish(&self, subject: &str) {
        let reply = format!("_INBOX_{}.answers", self.user);
        let subject = subject.to_owned();
        self.client.publish_with_reply(subject.clone(), reply, "{}".into()).await.unwrap();
        self.violation("publish", &subject).await;
    }

    /// The server refuses to send what is published there.
    async fn may_not_subscribe(&self, subject: &str) {
        let _subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.violation("subscription", subject).await;
    }

    /// Nothing that was refused was answered all the same: not by the server, nor by JetStream.
    async fn expect_no_answer(&mut self) {
        self.client.flush().await.unwrap();
        let answer = self.answers.next().now_or_never();
        assert!(answer.is_none(), "{answer:?}");
    }
}

fn password(user: &str) -> String {
    format!("secret-of-{user}")
}
