//! What a private Postgres and a private NATS have in common: start, restart, keep alive, stop.
//!
//! ```text
//! start:      stop a leftover → pick a port → fork → probe until ready ─┐ a passing failure: again
//! keep_alive: wait for the end → back off → fork on the same port ──────┘
//! ```
//!
//! The port is chosen at the first start and kept, so that the URLs stay true. Readiness is what a
//! client sees: a connection that answers, not a line in a log.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    DataDir, DevError,
    child::{Child, Handle, Ladder, Signal},
    error::{cannot, status_text},
    log::{LOG_CHECK_EVERY, Log},
};

/// How long a server may take until it answers. Postgres replays up to `max_wal_size` of log after
/// a crash: 4 GB at 50 MB/s is 80 seconds.
const READY_DEADLINE: Duration = Duration::from_secs(180);

/// How long one probe may take; a server that accepts and does not answer is not ready.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// The first wait between two probes, well under a usual start; it doubles from there …
const PROBE_PAUSE_FIRST: Duration = Duration::from_millis(10);

/// … up to this: Postgres logs every probe that it refuses while it recovers.
const PROBE_PAUSE_MAX: Duration = Duration::from_millis(500);

/// How often a start is tried again after a failure that passes. With the back-off this is
/// twenty seconds: backends of a killed postmaster end within a few.
const START_ATTEMPTS: u32 = 10;

/// The first wait before another start; it doubles from there …
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// … up to this: a client that retries sees the server again soon after it can be had.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How many restarts in a row may fail until the server is given up: half a minute of trying.
const FAILURES_MAX: u32 = 10;

/// A server that lived this long was well: the back-off begins anew.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// How long the kernel may take to end a process that got KILL.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Which port a server gets.
#[derive(Clone, Copy, Debug)]
pub enum Port {
    /// A free one.
    Any,
    /// This one.
    Fixed(u16),
}

impl Port {
    /// A free port is free only until somebody takes it; a lost race is a failure that passes.
    fn choose(self) -> Result<u16, DevError> {
        let free = |listener: TcpListener| Ok(listener.local_addr()?.port());
        match self {
            Self::Fixed(port) => Ok(port),
            Self::Any => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(free)
                .map_err(cannot("find a free port on", "127.0.0.1")),
        }
    }
}

/// What a server said to a probe.
pub enum Probe {
    /// It works.
    Ready,
    /// Ask again.
    NotYet(String),
    /// Asking again is of no use.
    Never(DevError),
}

/// A program that can be run as a server: Postgres or NATS.
pub trait Program: Send + Sync {
    /// Its name in messages.
    const NAME: &'static str;
    /// What in its log says that starting it again can help.
    const PASSING: &'static [&'static str];
    /// How it is stopped.
    const LADDER: Ladder;

    /// Where it lives.
    fn data_dir(&self) -> &DataDir;
    /// Where it writes its pid.
    fn pid_file(&self) -> PathBuf;
    /// Starts it.
    fn spawn(&self, port: u16, log: &Log) -> impl Future<Output = Result<Child, DevError>> + Send;
    /// Asks it.
    fn probe(&self, port: u16) -> impl Future<Output = Probe> + Send;
}

/// A running server; see [`super::PrivatePostgres`] and [`super::PrivateNats`]. Dropping it sends
/// the signal to stop and does not wait.
pub struct Server<P: Program> {
    pub(super) program: P,
    port: u16,
    log: Log,
    run: Mutex<Run>,
}

impl<P: Program> Server<P> {
    /// Stops what an earlier run left behind and starts `program`.
    pub(super) async fn launch(program: P, port: Port) -> Result<Self, DevError> {
        let home = program.data_dir();
        let pid_file = program.pid_file();
        home.leftover(P::NAME, &pid_file).stop(P::LADDER).await?;
        let mut server = Self::spawn(program, port).await?;
        let mut attempt = 1;
        while let Err(error) = server.ready().await {
            attempt = again::<P>(attempt, error).await?;
            server = Self::spawn(server.program, port).await?;
        }
        Ok(server)
    }

    async fn spawn(program: P, port: Port) -> Result<Self, DevError> {
        let port = port.choose()?;
        let log = program.data_dir().log(P::NAME);
        let run = Mutex::new(begin(&program, port, &log).await?);
        Ok(Self { program, port, log, run })
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process. After a restart it is another.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.handle().pid()
    }

    /// Ends it as `kill -9` does, and returns when it is gone.
    pub async fn kill_hard(&self) {
        self.handle().stop(&[(Signal::Kill, KILL_PATIENCE)]).await;
    }

    /// Starts it again on the same port, after stopping it if it still runs.
    ///
    /// # Errors
    /// [`DevError::Ended`] with the end of its log; [`DevError::NotReady`].
    pub async fn restart(&self) -> Result<(), DevError> {
        self.handle().stop(P::LADDER).await;
        self.respawn().await?;
        let mut attempt = 1;
        while let Err(error) = self.ready().await {
            attempt = again::<P>(attempt, error).await?;
            self.respawn().await?;
        }
        Ok(())
    }

    async fn respawn(&self) -> Result<(), DevError> {
        let run = begin(&self.program, self.port, &self.log).await?;
        *self.run() = run;
        Ok(())
    }

    /// Stops it cleanly; a server that does not stop in time is killed.
    pub async fn stop(self) {
        self.handle().stop(P::LADDER).await;
    }

    /// Restarts it whenever it ends, sooner after a long life than after a short one. Returns only
    /// when it cannot be started any more.
    pub async fn keep_alive(&self) -> DevError {
        let (mut short_lives, mut failures) = (0, 0);
        loop {
            let since = Instant::now();
            let ended = status_text(self.ended().await);
            short_lives = if since.elapsed() > WELL_AFTER { 1 } else { short_lives + 1 };
            tracing::warn!(server = P::NAME, short_lives, ended, "restarting a server");
            sleep(backoff(short_lives)).await;
            match self.restart().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::warn!(server = P::NAME, %error, "cannot restart a server");
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        let last = error.to_string();
                        return DevError::NotRestarted { server: P::NAME, failures, last };
                    }
                }
            }
        }
    }

    /// Waits for its end, and keeps its log short meanwhile.
    async fn ended(&self) -> Option<ExitStatus> {
        let mut handle = self.handle();
        loop {
            match timeout(LOG_CHECK_EVERY, handle.ended()).await {
                Ok(status) => return status,
                Err(_) => self.log.bound(),
            }
        }
    }

    /// Waits until it answers. When it does not, it does not run any more.
    async fn ready(&self) -> Result<(), DevError> {
        let mut handle = self.handle();
        let mut last = "no answer".to_owned();
        let ready = timeout(READY_DEADLINE, self.until_ready(&handle, &mut last)).await;
        let error = match ready {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => DevError::NotReady { server: P::NAME, waited: READY_DEADLINE, last },
        };
        handle.stop(P::LADDER).await;
        Err(error)
    }

    /// Probes until there is an answer, or nobody left to give one: an answer counts only while
    /// the child lives, because on a port that was lost to another it would be the other's.
    async fn until_ready(&self, handle: &Handle, last: &mut String) -> Result<(), DevError> {
        let mut pause = PROBE_PAUSE_FIRST;
        loop {
            let probe = timeout(PROBE_DEADLINE, self.program.probe(self.port)).await;
            if let Some(status) = handle.has_ended() {
                return Err(self.ended_early(status));
            }
            match probe {
                Ok(Probe::Ready) => return Ok(()),
                Ok(Probe::Never(error)) => return Err(error),
                Ok(Probe::NotYet(answer)) => *last = answer,
                Err(_) => *last = format!("no answer within {PROBE_DEADLINE:?}"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PROBE_PAUSE_MAX);
        }
    }

    fn ended_early(&self, status: Option<ExitStatus>) -> DevError {
        let log = self.log.since(self.run().log_start);
        DevError::Ended { server: P::NAME, status, path: self.log.path().to_owned(), log }
    }

    fn handle(&self) -> Handle {
        self.run().child.handle()
    }

    /// The lock is held for moments only, and nothing in them can leave the run half changed.
    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run of a server: its process, and where in the log it begins.
struct Run {
    child: Child,
    log_start: u64,
}

async fn begin<P: Program>(program: &P, port: u16, log: &Log) -> Result<Run, DevError> {
    log.bound();
    let log_start = log.len();
    let child = program.spawn(port, log).await?;
    Ok(Run { child, log_start })
}

/// Waits before the next attempt to start, if the reason that the last one failed is one that
/// passes: a port that was taken meanwhile, or shared memory that the backends of a killed
/// postmaster still hold. Otherwise it hands the reason back.
async fn again<P: Program>(attempt: u32, error: DevError) -> Result<u32, DevError> {
    if attempt >= START_ATTEMPTS || !passes::<P>(&error) {
        return Err(error);
    }
    tracing::info!(server = P::NAME, attempt, "starting a server again");
    sleep(backoff(attempt)).await;
    Ok(attempt + 1)
}

fn passes<P: Program>(error: &DevError) -> bool {
    let DevError::Ended { log, .. } = error else {
        return false;
    };
    P::PASSING.iter().any(|passing| log.contains(passing))
}

/// The wait before the `n`-th try: doubling, bounded.
fn backoff(n: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(n.saturating_sub(1));
    BACKOFF_FIRST.saturating_mul(doubled).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_up_to_its_bound() {
        assert_eq!(backoff(1), BACKOFF_FIRST);
        assert_eq!(backoff(3), BACKOFF_FIRST * 4);
        assert_eq!(backoff(60), BACKOFF_MAX);
    }
}
