//! A private NATS with JetStream: loopback only, one user, a store under the data directory.
//!
//! The stream is a copy of the journal, so the store may be less durable than Postgres.
//! nats-server 2.9 syncs it every two minutes and has no setting for that (`sync_interval` came
//! later, and an unknown setting stops an old server); `kill -9` loses nothing, because what was
//! written is with the kernel, and what a power cut takes the relay publishes again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, jetstream};

use super::{
    DataDir, DevError,
    child::{Child, Job, Ladder, Signal},
    log::Log,
    programs,
    server::{Port, Probe, Program, Server},
};

/// The user that clients log in as.
const USER: &str = "florin";

/// A private NATS.
pub type PrivateNats = Server<Nats>;

/// How NATS is run.
pub struct Nats {
    home: Arc<DataDir>,
    program: PathBuf,
}

impl Server<Nats> {
    /// Starts it with its store in `<data-dir>/nats`.
    ///
    /// # Errors
    /// [`DevError::Missing`], [`DevError::Ended`], [`DevError::NotReady`],
    /// [`DevError::Immortal`], [`DevError::Io`].
    pub async fn start(home: &Arc<DataDir>, port: Port) -> Result<Self, DevError> {
        let program = programs::nats_server(home.places())?;
        home.create_for_child(&home.join("nats"))?;
        Self::launch(Nats { home: Arc::clone(home), program }, port).await
    }

    /// `nats://<user>:<password>@127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        let password = &self.program.home.secrets.nats;
        format!("nats://{USER}:{password}@127.0.0.1:{}", self.port())
    }

    /// A client's JetStream context.
    ///
    /// # Errors
    /// [`DevError::Nats`].
    pub async fn jetstream(&self) -> Result<jetstream::Context, DevError> {
        let client = self.program.connect(self.port()).await?;
        Ok(jetstream::new(client))
    }
}

impl Nats {
    /// The memory bound is for memory streams, of which Florin has none; files may fill three
    /// quarters of the disk that is free at the start, which is the server's default.
    fn configuration(&self, port: u16) -> String {
        let directory = self.home.join("nats");
        let directory = self.home.launcher.path_in_child(&directory).display();
        let password = &self.home.secrets.nats;
        format!(
            "# Generated at every start.\n\
             listen: \"127.0.0.1:{port}\"\n\
             pid_file: \"{directory}/nats.pid\"\n\
             jetstream {{ store_dir: \"{directory}\", max_mem: 64MB }}\n\
             authorization {{ user: \"{USER}\", password: \"{password}\" }}\n"
        )
    }

    async fn connect(&self, port: u16) -> Result<Client, DevError> {
        let password = self.home.secrets.nats.clone();
        let options = ConnectOptions::with_user_and_password(USER.to_owned(), password);
        let client = options.connect(format!("127.0.0.1:{port}")).await;
        client.map_err(|error| DevError::Nats(error.to_string()))
    }
}

impl Program for Nats {
    const NAME: &'static str = "nats";

    const PASSING: &'static [&'static str] = &["address already in use"];

    const LADDER: Ladder =
        &[(Signal::Terminate, Duration::from_secs(10)), (Signal::Kill, Duration::from_secs(5))];

    fn data_dir(&self) -> &DataDir {
        &self.home
    }

    fn pid_file(&self) -> PathBuf {
        self.home.join("nats/nats.pid")
    }

    async fn spawn(&self, port: u16, log: &Log) -> Result<Child, DevError> {
        let directory = self.home.join("nats");
        let file = directory.join("server.conf");
        self.home.write_for_child(&file, &self.configuration(port))?;
        let seen = self.home.launcher.path_in_child(&directory).join("server.conf");
        let name = self.home.secrets.name();
        let arguments = vec!["--name".into(), name.into(), "--config".into(), seen.into()];
        let program = self.program.clone();
        let farewell = Signal::Terminate;
        let job = Job { program, arguments, directory: &directory, log, farewell };
        self.home.launcher.spawn(&job).await
    }

    /// JetStream answers only after it has read its store. The answer itself is left unread: a 2.9
    /// server's lacks fields that the client's type for it requires.
    async fn probe(&self, port: u16) -> Probe {
        let client = match self.connect(port).await {
            Ok(client) => client,
            Err(error) => return Probe::NotYet(error.to_string()),
        };
        match client.request("$JS.API.INFO", "".into()).await {
            Ok(_) => Probe::Ready,
            Err(error) => Probe::NotYet(error.to_string()),
        }
    }
}
