//! `florin dev`'s servers: what they keep, and what they survive.
//!
//! Nothing here sleeps to let something happen: [`eventually`] asks until the answer is the wanted
//! one, and fails with the last one. Tests that kill florin itself start this test binary again as
//! the florin to kill: [`a_florin_for_other_tests_to_kill`].
#![cfg(test)]

use std::{
    collections::HashMap,
    env,
    fmt::Debug,
    fs::{self, Permissions},
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use florin_adapters::dev::{
    DataDir, DevError, Port, PrivateNats, PrivatePostgres, Stack, usual_places,
};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// How long anything may take to come true; a start on a busy machine takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the florin to kill keeps its data.
const DATA_DIR: &str = "FLORIN_TEST_DATA_DIR";

/// Makes the florin to kill start its servers so that they outlive it.
const WITHOUT_SETPRIV: &str = "FLORIN_TEST_WITHOUT_SETPRIV";

/// Asks until the answer is `wanted`.
async fn eventually<T: Debug + PartialEq>(wanted: T, mut ask: impl AsyncFnMut() -> T) {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if answer == wanted {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "wanted {wanted:?}, and still have {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn execute(url: &str, sql: &str) -> Result<(), String> {
    let mut connection = PgConnection::connect(url).await.map_err(|error| error.to_string())?;
    let done = sqlx::raw_sql(sql).execute(&mut connection).await;
    done.map(drop).map_err(|error| error.to_string())
}

async fn fact(url: &str) -> Result<String, String> {
    let mut connection = PgConnection::connect(url).await.map_err(|error| error.to_string())?;
    let text = sqlx::query_scalar("SELECT text FROM fact").fetch_one(&mut connection).await;
    text.map_err(|error| error.to_string())
}

/// How many other connections are in the middle of a statement.
async fn busy_backends(url: &str) -> Result<i64, String> {
    let mut connection = PgConnection::connect(url).await.map_err(|error| error.to_string())?;
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                AND state = 'active' AND pid <> pg_backend_pid()";
    let count = sqlx::query_scalar(busy).fetch_one(&mut connection).await;
    count.map_err(|error| error.to_string())
}

const KEEP_FACT: &str = "CREATE TABLE fact AS SELECT 'kept' AS text";

async fn create_stream(nats: &PrivateNats) {
    nats.jetstream().await.unwrap().create_stream("FACTS").await.unwrap();
}

/// Publishes one message and returns its number in the stream.
async fn publish(nats: &PrivateNats) -> Result<u64, String> {
    let jetstream = nats.jetstream().await.map_err(|error| error.to_string())?;
    let sent =
        jetstream.publish("FACTS", "fact".into()).await.map_err(|error| error.to_string())?;
    sent.await.map(|stored| stored.sequence).map_err(|error| error.to_string())
}

fn some(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop_and_a_start() {
    let dir = TempDir::new().unwrap();
    let stack = Stack::start(dir.path()).await.unwrap();
    execute(&stack.urls().database_admin, KEEP_FACT).await.unwrap();
    create_stream(stack.nats()).await;
    assert_eq!(publish(stack.nats()).await, Ok(1));
    stack.stop().await;

    let stack = Stack::start(dir.path()).await.unwrap();
    assert_eq!(fact(&stack.urls().database_admin).await, some("kept"));
    assert_eq!(publish(stack.nats()).await, Ok(2));
    stack.stop().await;
}

#[tokio::test]
async fn a_killed_postgres_comes_back_on_its_port_with_its_data() {
    let dir = TempDir::new().unwrap();
    let stack = Stack::start(dir.path()).await.unwrap();
    let admin = &stack.urls().database_admin;
    execute(admin, KEEP_FACT).await.unwrap();
    let killed = stack.postgres().pid();
    tokio::select! {
        error = stack.supervise() => panic!("gave up: {error}"),
        () = async {
            stack.postgres().kill_hard().await;
            eventually(true, async || stack.postgres().pid() != killed).await;
            eventually(some("kept"), async || fact(admin).await).await;
        } => {}
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_killed_nats_comes_back_on_its_port_with_its_stream() {
    let dir = TempDir::new().unwrap();
    let home = DataDir::open(dir.path()).unwrap();
    let nats = PrivateNats::start(&home, Port::Any).await.unwrap();
    create_stream(&nats).await;
    assert_eq!(publish(&nats).await, Ok(1));
    tokio::select! {
        error = nats.keep_alive() => panic!("gave up: {error}"),
        () = async {
            nats.kill_hard().await;
            eventually(Ok(2), async || publish(&nats).await).await;
        } => {}
    }
    nats.stop().await;
}

#[tokio::test]
async fn a_postgres_that_was_killed_with_open_connections_restarts() {
    let dir = TempDir::new().unwrap();
    let home = DataDir::open(dir.path()).unwrap();
    let postgres = PrivatePostgres::start(&home, Port::Any).await.unwrap();
    let urls = postgres.create_database("facts").await.unwrap();
    execute(&urls.admin, KEEP_FACT).await.unwrap();
    // A backend in the middle of a statement does not look up to see that its postmaster is gone,
    // and holds the shared memory until it is done.
    let mut busy = PgConnection::connect(&urls.admin).await.unwrap();
    let count = sqlx::query("SELECT count(*) FROM generate_series(1, 20000000)").execute(&mut busy);
    let restart = async {
        eventually(Ok(1), async || busy_backends(&urls.admin).await).await;
        postgres.kill_hard().await;
        postgres.restart().await
    };
    let (_, restarted) = tokio::join!(count, restart);
    restarted.unwrap();
    assert_eq!(fact(&urls.admin).await, some("kept"));
    postgres.stop().await;
}

#[tokio::test]
async fn the_service_is_an_ordinary_role() {
    let dir = TempDir::new().unwrap();
    let home = DataDir::open(dir.path()).unwrap();
    let postgres = PrivatePostgres::start(&home, Port::Any).await.unwrap();
    let urls = postgres.create_database("facts").await.unwrap();
    let mut service = PgConnection::connect(&urls.service).await.unwrap();
    let rights = "SELECT concat_ws(' ', current_user, rolsuper, rolcreatedb, rolcreaterole, \
                  pg_has_role('florin_service', 'usage'), current_setting('fsync'), \
                  current_setting('data_checksums')) \
                  FROM pg_roles WHERE rolname = current_user";
    let rights: String = sqlx::query_scalar(rights).fetch_one(&mut service).await.unwrap();
    assert_eq!(rights, "florin f f f t on on");
    assert!(matches!(postgres.create_database("a b").await, Err(DevError::DatabaseName(_))));
    postgres.stop().await;
}

#[tokio::test]
async fn a_second_start_in_the_same_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let home = DataDir::open(dir.path()).unwrap();
    let refusal = Stack::start(dir.path()).await.err().unwrap().to_string();
    let pid = std::process::id();
    assert!(refusal.starts_with(&format!("another florin (pid {pid}) runs on ")), "{refusal}");
    drop(home);
    assert!(DataDir::open(dir.path()).is_ok());
}

#[tokio::test]
async fn without_the_programs_one_sentence_says_what_to_install() {
    let dir = TempDir::new().unwrap();
    let home = DataDir::open_with(dir.path(), Vec::new()).unwrap();
    let refusal = PrivatePostgres::start(&home, Port::Any).await.err().unwrap().to_string();
    assert!(refusal.contains("Postgres 14 or newer: apt-get install postgresql"), "{refusal}");
    let refusal = Stack::start_in(home).await.err().unwrap().to_string();
    assert!(refusal.contains("nats-server 2.9 or newer: apt-get install nats-server"), "{refusal}");
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_refused_with_the_way_out() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("postgres")).unwrap();
    fs::write(dir.path().join("postgres/PG_VERSION"), "9\n").unwrap();
    let refusal = Stack::start(dir.path()).await.err().unwrap().to_string();
    assert!(refusal.contains("holds a Postgres 9 cluster"), "{refusal}");
    assert!(refusal.contains("install postgresql-9"), "{refusal}");
}

#[tokio::test]
async fn a_pid_file_that_names_a_foreign_process_is_no_obstacle() {
    let dir = TempDir::new().unwrap();
    let home = DataDir::open(dir.path()).unwrap();
    let postgres = PrivatePostgres::start(&home, Port::Any).await.unwrap();
    let pid_file = dir.path().join("postgres/postmaster.pid");
    let written = fs::read_to_string(&pid_file).unwrap();
    let pid = postgres.pid().to_string();
    postgres.stop().await;
    // As after a reboot: the number is that of this very test now, which must survive.
    fs::write(&pid_file, written.replacen(&pid, &std::process::id().to_string(), 1)).unwrap();
    let postgres = PrivatePostgres::start(&home, Port::Any).await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn the_environment_file_is_there_while_the_stack_runs() {
    let dir = TempDir::new().unwrap();
    let stack = Stack::start(dir.path()).await.unwrap();
    let path = stack.write_env_file("http://127.0.0.1:1").unwrap();
    assert_eq!(path, env_file(dir.path()));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let keys: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(keys, ["DATABASE_URL", "DATABASE_ADMIN_URL", "NATS_URL", "FLORIN_URL"]);
    stack.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn the_servers_end_when_florin_is_killed() {
    let dir = TempDir::new().unwrap();
    let mut florin = Florin::start(dir.path(), &this_test(), |_| ());
    let env = florin.env().await;
    execute(&env["DATABASE_ADMIN_URL"], KEEP_FACT).await.unwrap();
    florin.kill_hard();
    for url in [&env["DATABASE_URL"], &env["NATS_URL"]] {
        eventually(false, async || accepts(url)).await;
    }
    assert_the_next_start_finds_the_fact(dir.path()).await;
}

#[tokio::test]
async fn servers_that_outlived_florin_are_stopped_by_the_next_start() {
    let dir = TempDir::new().unwrap();
    let mut florin = Florin::start(dir.path(), &this_test(), |command| {
        command.env(WITHOUT_SETPRIV, "1");
    });
    let env = florin.env().await;
    execute(&env["DATABASE_ADMIN_URL"], KEEP_FACT).await.unwrap();
    florin.kill_hard();
    for url in [&env["DATABASE_URL"], &env["NATS_URL"]] {
        assert!(accepts(url), "{url} has no server any more");
    }
    assert_the_next_start_finds_the_fact(dir.path()).await;
    for url in [&env["DATABASE_URL"], &env["NATS_URL"]] {
        assert!(!accepts(url), "{url} has its old server still");
    }
}

/// Only root can become somebody else; anybody else runs all of these tests as an ordinary user.
#[tokio::test]
async fn an_ordinary_user_can_run_it() {
    const NOBODY: u32 = 65_534;
    if fs::metadata("/proc/self").map_or(1, |process| process.uid()) != 0 {
        return;
    }
    let dir = TempDir::new().unwrap();
    // Where the ordinary user can reach it, which the build directory need not be.
    let program = dir.path().join("test");
    fs::copy(this_test(), &program).unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();

    let mut florin = Florin::start(&data, &program, |command| {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    });
    let env = florin.env().await;
    execute(&env["DATABASE_ADMIN_URL"], KEEP_FACT).await.unwrap();
    let pid_file = data.join("postgres/postmaster.pid");
    assert_eq!(fs::metadata(pid_file).unwrap().uid(), NOBODY);
    florin.kill_hard();
    for url in [&env["DATABASE_URL"], &env["NATS_URL"]] {
        eventually(false, async || accepts(url)).await;
    }
    // Root goes on with the servers of the user who owns them.
    assert_the_next_start_finds_the_fact(&data).await;
}

async fn assert_the_next_start_finds_the_fact(dir: &Path) {
    let stack = Stack::start(dir).await.unwrap();
    assert_eq!(fact(&stack.urls().database_admin).await, some("kept"));
    stack.stop().await;
}

/// The florin of the tests above: not a test of its own.
#[tokio::test]
#[ignore = "runs until another test kills it"]
async fn a_florin_for_other_tests_to_kill() {
    let Some(dir) = env::var_os(DATA_DIR) else {
        return;
    };
    let mut places = usual_places();
    if env::var_os(WITHOUT_SETPRIV).is_some() {
        places.retain(|place| !place.join("setpriv").exists());
    }
    let home = DataDir::open_with(Path::new(&dir), places).unwrap();
    let stack = Stack::start_in(home).await.unwrap();
    stack.write_env_file("http://127.0.0.1:1").unwrap();
    panic!("gave up: {}", stack.supervise().await);
}

/// A florin in another process.
struct Florin {
    process: Child,
    dir: PathBuf,
}

impl Florin {
    fn start(dir: &Path, program: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program);
        let test = "private_servers::a_florin_for_other_tests_to_kill";
        command.args([test, "--exact", "--ignored", "--nocapture"]).env(DATA_DIR, dir);
        change(command.stdin(Stdio::null()));
        Self { process: command.spawn().unwrap(), dir: dir.to_owned() }
    }

    /// Waits for its environment file and reads it.
    async fn env(&mut self) -> HashMap<String, String> {
        let path = env_file(&self.dir);
        eventually((true, None), async || (path.exists(), self.process.try_wait().unwrap())).await;
        let text = fs::read_to_string(path).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn kill_hard(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Florin {
    fn drop(&mut self) {
        // It may be dead already, as it should be.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn this_test() -> PathBuf {
    env::current_exe().unwrap()
}

fn env_file(dir: &Path) -> PathBuf {
    dir.join("florin.env")
}

/// Whether anybody listens where the URL says.
fn accepts(url: &str) -> bool {
    let address = url.rsplit('@').next().and_then(|rest| rest.split('/').next()).unwrap();
    TcpStream::connect(address).is_ok()
}
