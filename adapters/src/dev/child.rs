//! A server process as a child: it is started so that it ends with its parent, and it is signalled
//! only while it is certainly the same process.
//!
//! ```text
//! florin ─ thread that waits ─ fork ─ (drop root) ─ sh ─exec→ setpriv --pdeathsig ─exec→ server
//! ```
//!
//! - **It ends with its parent**, even with `kill -9`: the kernel sends the child a signal when
//!   the *thread* that forked it ends. That thread is therefore the child's own: it forks, then
//!   waits for the child, and so lives exactly as long. Without a setpriv that can do this (macOS,
//!   busybox) the child outlives a killed florin, and the next start stops it by its pid file.
//! - **It is never root.** Postgres refuses to be, so root starts its children as `postgres` or
//!   `nobody`. Such a user often cannot walk to the data (`/root`, a `mktemp -d`): it gets the open
//!   directory itself as file descriptor 9 and calls it `/proc/self/fd/9`.
//! - **It has a process group of its own**: a Ctrl-C in the terminal is for florin, which finishes
//!   its requests before it stops the servers that they need.
//! - **Signals go by `sh -c kill`**: std sends none but KILL, and `unsafe` is forbidden here.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{DevError, error::cannot, log::Log, programs};

/// How a child without the right to walk to its directory names it.
const INHERITED_DIRECTORY: &str = "/proc/self/fd/9";

/// Moves the directory from standard input, where std can put it, to the descriptor above.
const INHERIT_DIRECTORY: &str = "exec 9<&0 </dev/null; exec \"$@\"";

/// How often a process of an earlier run is looked at while it ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The signals in use.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Interrupt,
    Kill,
    Quit,
    Terminate,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }

    /// Sends it. That the process has ended meanwhile is what the sender wants: no error.
    fn send(self, pid: u32) {
        let kill = ["-c", "kill -s \"$1\" \"$2\"", "sh", self.name(), &pid.to_string()];
        let sent = Command::new("/bin/sh").args(kill).stderr(Stdio::null()).status();
        if let Err(error) = sent {
            tracing::warn!(pid, signal = self.name(), %error, "cannot send a signal");
        }
    }
}

/// The steps to stop a process: each signal, and how long to wait before the next.
pub type Ladder = &'static [(Signal, Duration)];

/// The user that children run as.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

/// How children run on this machine.
pub(super) struct Launcher {
    /// Whom root starts them as; `None` when florin is an ordinary user already.
    user: Option<User>,
    /// A setpriv that knows `--pdeathsig`.
    setpriv: Option<PathBuf>,
}

/// A program to run as a child.
pub(super) struct Job<'a> {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// The directory that it works in; it knows it as [`Launcher::path_in_child`].
    pub(super) directory: &'a Path,
    pub(super) log: &'a Log,
    /// What it gets when its parent dies.
    pub(super) farewell: Signal,
}

impl Launcher {
    /// Finds out how. `owned` is a directory that children of an earlier run have owned: the
    /// same user goes on.
    pub(super) fn new(places: &[PathBuf], owned: &Path) -> Result<Self, DevError> {
        let setpriv = programs::find("setpriv", places).filter(|setpriv| {
            let probe = Command::new(setpriv).args(["--pdeathsig", "keep", "true"]).output();
            probe.is_ok_and(|output| output.status.success())
        });
        let user = match id(&["-u"]) {
            Some(0) => {
                Some(User::owner_of(owned).or_else(User::unprivileged).ok_or(DevError::NoUser)?)
            }
            Some(_) | None => None,
        };
        Ok(Self { user, setpriv })
    }

    /// The name by which a child reaches the directory that it was given.
    pub(super) fn path_in_child<'a>(&self, directory: &'a Path) -> &'a Path {
        let inherits = self.user.is_some() && cfg!(target_os = "linux");
        if inherits { Path::new(INHERITED_DIRECTORY) } else { directory }
    }

    /// Makes `path` the children's.
    pub(super) fn give(&self, path: &Path) -> Result<(), DevError> {
        let Some(User { uid, gid }) = self.user else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).map_err(cannot("change the owner of", path))
    }

    /// Starts the program.
    pub(super) async fn spawn(&self, job: &Job<'_>) -> Result<Child, DevError> {
        let command = self.command(job).map_err(cannot("prepare", &job.program))?;
        Child::spawn(command, job.farewell).await.map_err(cannot("start", &job.program))
    }

    fn command(&self, job: &Job<'_>) -> io::Result<Command> {
        let log = job.log.open()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", INHERIT_DIRECTORY, "sh"]);
        if let Some(setpriv) = &self.setpriv {
            command.arg(setpriv).args(["--pdeathsig", job.farewell.name(), "--"]);
        }
        command
            .arg(&job.program)
            .args(&job.arguments)
            .stdin(File::open(job.directory)?)
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/")
            .process_group(0);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }
}

impl User {
    fn owner_of(path: &Path) -> Option<Self> {
        let owner = fs::metadata(path).ok()?;
        (owner.uid() != 0).then(|| Self { uid: owner.uid(), gid: owner.gid() })
    }

    fn unprivileged() -> Option<Self> {
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Some(Self { uid: id(&["-u", name])?, gid: id(&["-g", name])? }))
    }
}

/// What `id` prints: std has no call for it.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

/// A started process. Dropping it while it runs sends its farewell signal.
pub struct Child {
    handle: Handle,
    farewell: Signal,
}

/// A view of a child: its pid, and whether it has ended.
#[derive(Clone)]
pub(super) struct Handle {
    pid: u32,
    state: watch::Receiver<State>,
}

#[derive(Clone, Copy)]
enum State {
    Runs,
    /// The status is unknown when the child could not be waited for.
    Ended(Option<ExitStatus>),
}

impl Child {
    /// Forks from a thread that then waits for the child.
    async fn spawn(mut command: Command, farewell: Signal) -> io::Result<Self> {
        let (started, pid) = oneshot::channel();
        let (ended, state) = watch::channel(State::Runs);
        thread::Builder::new().name("child".to_owned()).spawn(move || match command.spawn() {
            Err(error) => drop(started.send(Err(error))),
            Ok(mut child) => {
                // Nobody may be listening any more; the child is reaped all the same.
                drop(started.send(Ok(child.id())));
                ended.send_replace(State::Ended(child.wait().ok()));
            }
        })?;
        let pid = pid.await.map_err(io::Error::other)??;
        Ok(Self { handle: Handle { pid, state }, farewell })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.handle.has_ended().is_none() {
            self.farewell.send(self.handle.pid);
        }
    }
}

impl Handle {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its status when it has ended.
    pub(super) fn has_ended(&self) -> Option<Option<ExitStatus>> {
        match *self.state.borrow() {
            State::Runs => None,
            State::Ended(status) => Some(status),
        }
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        // An error says that the waiting thread is gone, which it is only after the end.
        let _ = self.state.wait_for(|state| matches!(state, State::Ended(_))).await;
        self.has_ended().flatten()
    }

    /// Sends the signals of the ladder, one after the other, until it has ended.
    pub(super) async fn stop(&mut self, ladder: Ladder) {
        for &(signal, patience) in ladder {
            if self.has_ended().is_some() {
                return;
            }
            signal.send(self.pid);
            let _ = timeout(patience, self.ended()).await;
        }
    }
}

/// A server of an earlier run, which outlived its florin.
pub(super) struct Leftover<'a> {
    pub(super) server: &'static str,
    pub(super) pid_file: &'a Path,
    /// What its command line must contain: nobody else's does, so nobody else is signalled.
    pub(super) mark: String,
}

impl Leftover<'_> {
    /// Stops it, if it still runs. A pid file that names a foreign process is removed: after a
    /// reboot the number may be anybody's, and Postgres would refuse to start because of it.
    /// Its second guard, the key of the shared memory, does not depend on that file.
    pub(super) async fn stop(&self, ladder: Ladder) -> Result<(), DevError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        if !self.is(pid) {
            return match command_line(pid) {
                None => Ok(()),
                Some(_) => fs::remove_file(self.pid_file).map_err(cannot("remove", self.pid_file)),
            };
        }
        tracing::info!(server = self.server, pid, "stopping a server of an earlier run");
        for &(signal, patience) in ladder {
            signal.send(pid);
            if timeout(patience, self.gone(pid)).await.is_ok() {
                return Ok(());
            }
        }
        Err(DevError::Immortal { server: self.server, pid })
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.pid_file).ok()?.lines().next()?.trim().parse().ok()
    }

    fn is(&self, pid: u32) -> bool {
        command_line(pid).is_some_and(|line| line.contains(&self.mark))
    }

    async fn gone(&self, pid: u32) {
        while self.is(pid) {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The command line of a running process: from `/proc`, or from `ps` where there is none.
fn command_line(pid: u32) -> Option<String> {
    let line = if Path::new("/proc/self").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).ok()?
    } else {
        let ps = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
        ps.ok()?.stdout
    };
    // A zombie has no command line, and needs no signal any more.
    (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
}
