//! Everything that can be configured: the only module that reads the environment.
//!
//! Each setting but passwords of roles is a flag and a variable; `--help` of a verb lists what it takes.

mod intake;
mod limits;
mod passwords;
mod operator;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use florin_application::Settings;
use florin_domain::fraud;
use florin_projections::models;
use florin_projections::read_model::Projection;
use thiserror::Error;

use crate::audit::{NoName, Secrets};
use crate::auth;
use crate::auth::{ClaimPath, Expected, MIN_SECRET_BYTES, Pace, Secret, Source};
use crate::fraud::{RulesError, read};
use crate::http::{Edge, NoOrigin, Origins, Tls, TlsError};
use crate::nats::Access;
use crate::nats::stream::StreamSettings;
use crate::reads::CACHED_BALANCES;
use crate::telemetry::{DEFAULT_FILTER, Format};

pub use intake::IntakeArgs;
pub use limits::{LimitArgs, Switch};
pub use passwords::{PasswordError, passwords};
pub use operator::OperatorArgs;

/// Where the journal is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The ledger's Postgres, as the service's role.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// Where the journal is, for who may change the schema.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// The ledger's Postgres, as a role that may create tables and roles.
    #[arg(long, env = "DATABASE_ADMIN_URL", hide_env_values = true, value_name = "URL")]
    pub database_admin_url: String,
}

/// How many partitions the ledger has.
#[derive(Debug, Clone, Args)]
pub struct PartitionArgs {
    /// Partitions of the ledger, fixed when it is created (then 1 unless said).
    #[arg(long, env = "FLORIN_PARTITIONS", value_name = "N")]
    pub partitions: Option<u32>,
}

/// How the ledger behaves.
#[derive(Debug, Clone, Args)]
pub struct LedgerArgs {
    /// Whether incoming money opens a wallet that was never opened.
    #[arg(long, env = "FLORIN_AUTO_OPEN", default_value_t = true, action = ArgAction::Set)]
    pub auto_open: bool,
    /// Wallets held in memory, over all partitions; about 250 bytes each.
    #[arg(
        long,
        env = "FLORIN_CACHED_WALLETS",
        default_value_t = Settings::CACHED_WALLETS,
        value_name = "N"
    )]
    pub cached_wallets: usize,
}

impl LedgerArgs {
    /// As the application takes them.
    pub fn settings(&self) -> Settings {
        Settings { auto_open: self.auto_open, cached_wallets: self.cached_wallets }
    }
}

/// How wallets are read.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    /// Balances held in memory, so that a hot one is answered from there; about 1 KB each.
    #[arg(
        long,
        env = "FLORIN_CACHED_BALANCES",
        default_value_t = CACHED_BALANCES,
        value_name = "N"
    )]
    pub cached_balances: usize,
}

/// Where events are published.
#[derive(Debug, Clone, Default, Args)]
pub struct NatsArgs {
    /// The NATS server; without one, commands work and nothing is published.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    pub nats_url: Option<String>,
    /// The credentials of a user of it (a file as `nsc` writes it, or with the seed of an nkey),
    /// where they are not in the URL.
    #[arg(long, env = "FLORIN_NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// The certificates (PEM) that its own has to come from, instead of those that this machine trusts.
    #[arg(long, env = "FLORIN_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
}

impl NatsArgs {
    /// As the client takes them.
    pub fn access(&self) -> Access {
        Access {
            url: self.nats_url.clone(),
            credentials: self.nats_credentials.clone(),
            ca: self.nats_ca.clone(),
        }
    }
}

/// How the streams of NATS JetStream are kept.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// On how many NATS servers each stream is kept.
    #[arg(
        long,
        env = "FLORIN_STREAM_REPLICAS",
        default_value_t = StreamSettings::REPLICAS,
        value_name = "N"
    )]
    pub stream_replicas: usize,
    /// For how many hours events stay in the stream; the journal keeps them for ever.
    #[arg(
        long,
        env = "FLORIN_STREAM_MAX_AGE_HOURS",
        default_value_t = StreamSettings::MAX_AGE.as_secs() / SECONDS_AN_HOUR,
        value_parser = clap::value_parser!(u64).range(1..=MAX_AGE_HOURS),
        value_name = "HOURS"
    )]
    pub stream_max_age_hours: u64,
    /// Up to how many bytes of events stay in the stream; NATS sets the space aside.
    #[arg(
        long,
        env = "FLORIN_STREAM_MAX_BYTES",
        default_value_t = StreamSettings::MAX_BYTES,
        value_parser = clap::value_parser!(i64).range(1..),
        value_name = "BYTES"
    )]
    pub stream_max_bytes: i64,
    /// For how many seconds NATS knows a message that it has already.
    #[arg(
        long,
        env = "FLORIN_STREAM_DUPLICATE_WINDOW_SECONDS",
        default_value_t = StreamSettings::DUPLICATE_WINDOW.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=MAX_WINDOW_SECONDS),
        value_name = "SECONDS"
    )]
    pub stream_duplicate_window_seconds: u64,
}

const SECONDS_AN_HOUR: u64 = 60 * 60;

/// Ten years: nanoseconds, which NATS counts in, have room for it.
const MAX_AGE_HOURS: u64 = 10 * 365 * 24;

/// A day: NATS keeps every id of that time in memory.
const MAX_WINDOW_SECONDS: u64 = 24 * SECONDS_AN_HOUR;

impl StreamArgs {
    /// As the streams take them.
    pub fn settings(&self) -> StreamSettings {
        StreamSettings {
            replicas: self.stream_replicas,
            max_age: Duration::from_secs(self.stream_max_age_hours * SECONDS_AN_HOUR),
            max_bytes: self.stream_max_bytes,
            max_messages: None,
            duplicate_window: Duration::from_secs(self.stream_duplicate_window_seconds),
        }
    }
}

/// By which thresholds fraud is found.
#[derive(Debug, Clone, Default, Args)]
pub struct FraudArgs {
    /// The file of the fraud rules (TOML); without one, every rule has its defaults.
    #[arg(long, env = "FLORIN_FRAUD_RULES", value_name = "FILE")]
    pub fraud_rules: Option<PathBuf>,
}

impl FraudArgs {
    /// As the rules take them.
    ///
    /// # Errors
    /// [`FraudRulesError`] when the file cannot be read or says what cannot be.
    pub fn settings(&self) -> Result<fraud::Settings, FraudRulesError> {
        Ok(read(self.fraud_rules.as_deref())?)
    }
}

/// The file of the fraud rules says what cannot be.
#[derive(Debug, Error)]
#[error("FLORIN_FRAUD_RULES: {0}")]
pub struct FraudRulesError(#[from] RulesError);

/// Which read models are kept up to date.
#[derive(Debug, Clone, Default, Args)]
pub struct ProjectionArgs {
    /// The read models to keep up to date, all unless said: names with commas between, or `none`
    /// to leave them to other workers.
    #[arg(long, env = "FLORIN_PROJECTIONS", value_name = "NAMES")]
    pub projections: Option<String>,
}

/// A list of read models that names something else.
#[derive(Debug, Error)]
#[error("FLORIN_PROJECTIONS: {0}")]
pub struct ProjectionsError(#[from] models::UnknownModel);

impl ProjectionArgs {
    /// As a worker takes them.
    ///
    /// # Errors
    /// [`ProjectionsError`] for a name that no read model has.
    pub fn models(&self) -> Result<Vec<Arc<dyn Projection>>, ProjectionsError> {
        Ok(self.projections.as_deref().map_or_else(|| Ok(models::all()), models::named)?)
    }
}

/// Where the service listens.
#[derive(Debug, Clone, Args)]
pub struct ListenArgs {
    /// The address to listen on.
    #[arg(long, env = "FLORIN_HOST", default_value = "127.0.0.1", value_name = "IP")]
    pub host: IpAddr,
    /// The port to listen on; 0 for any free one.
    #[arg(long, env = "FLORIN_PORT", default_value_t = 3000)]
    pub port: u16,
}

/// Whether callers have to say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// By a JWT.
    Jwt,
    /// Not at all: whoever can connect may do everything.
    Off,
}

/// Who gets in.
#[derive(Debug, Clone, Args)]
pub struct AuthArgs {
    /// Whether a request needs a token; `florin dev` does without unless said, all else needs one.
    #[arg(long, env = "FLORIN_AUTH", value_name = "MODE")]
    pub auth: Option<AuthMode>,
    /// The public keys that tokens are signed with (a JWKS): a file, or a URL.
    #[arg(long, env = "FLORIN_JWKS", value_name = "FILE|URL")]
    pub jwks: Option<Source>,
    /// The cookie that may carry the token for GET /api/v1/wallet/user.
    #[arg(long, env = "FLORIN_JWT_COOKIE", value_name = "NAME")]
    pub jwt_cookie: Option<String>,
    /// What is in them.
    #[command(flatten)]
    pub tokens: TokenArgs,
}

/// What is in a token, and the secret that it may be signed with.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The secret that tokens are signed with (HS256), of 32 bytes at least. Better set as a
    /// variable: what is in a command line, others see.
    #[arg(long, env = "FLORIN_JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<Secret>,
    /// The issuer (`iss`) that tokens must have.
    #[arg(long, env = "FLORIN_JWT_ISSUER", value_name = "ISS")]
    pub jwt_issuer: Option<String>,
    /// The audience (`aud`) that tokens must be meant for.
    #[arg(long, env = "FLORIN_JWT_AUDIENCE", value_name = "AUD")]
    pub jwt_audience: Option<String>,
    /// The claim that says who the bearer is: the owner of their wallets. Its name, or the way to it,
    /// such as `user.id`.
    #[arg(long, env = "FLORIN_JWT_USER_CLAIM", default_value = "sub", value_name = "CLAIM")]
    pub jwt_user_claim: ClaimPath,
}

impl TokenArgs {
    /// What must be in a token.
    pub fn expected(&self) -> Expected {
        Expected {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            user_claim: self.jwt_user_claim.clone(),
        }
    }
}

/// Who a client of the service is.
#[derive(Debug, Clone, Default, Args)]
pub struct BearerArgs {
    /// The token that is sent, where the service wants one: with ledger:read and ledger:write. Better
    /// set as a variable: what is in a command line, others see.
    #[arg(long, env = "FLORIN_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub token: Option<Secret>,
}

/// Why it is not known how tokens are verified.
#[derive(Debug, Error)]
pub enum AuthError {
    /// Neither a secret nor public keys.
    #[error(
        "there is no key to verify tokens with: set FLORIN_JWT_SECRET to the secret of their issuer \
         ({MIN_SECRET_BYTES} bytes at least) or FLORIN_JWKS to its public keys (a file or a URL); or \
         run with --auth=off, where something in front of Florin decides who gets in"
    )]
    NoKey,
    /// Too short to be one.
    #[error(
        "FLORIN_JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes and easily guessed: set a longer \
         one, such as that of `openssl rand -base64 48`"
    )]
    ShortSecret,
}

impl AuthArgs {
    /// How tokens are verified; `None` where none are needed.
    ///
    /// # Errors
    /// [`AuthError`] when they are needed, and there is nothing to verify them with.
    pub fn settings(&self, unless_said: AuthMode) -> Result<Option<auth::Settings>, AuthError> {
        match self.auth.unwrap_or(unless_said) {
            AuthMode::Off => return Ok(None),
            AuthMode::Jwt => {}
        }
        let secret = self.tokens.jwt_secret.clone();
        if secret.is_none() && self.jwks.is_none() {
            return Err(AuthError::NoKey);
        }
        if secret.as_ref().is_some_and(|secret| !secret.is_long_enough()) {
            return Err(AuthError::ShortSecret);
        }
        Ok(Some(auth::Settings {
            secret,
            jwks: self.jwks.clone(),
            expected: self.tokens.expected(),
            cookie: self.jwt_cookie.clone(),
            pace: Pace::default(),
        }))
    }
}

/// What is recorded of calls.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// Whether every POST is recorded, with its events: who sent what, and what they were told.
    #[arg(long, env = "FLORIN_AUDIT", default_value_t = true, action = ArgAction::Set)]
    pub audit: bool,
    /// What is taken out of the record besides authorization and cookies: names of headers, of
    /// parameters, and of fields at any depth, with commas between.
    #[arg(long, env = "FLORIN_AUDIT_REDACT", default_value = "", value_name = "NAMES")]
    pub audit_redact: String,
}

/// A list of secrets that is none.
#[derive(Debug, Error)]
#[error("FLORIN_AUDIT_REDACT: {0}")]
pub struct SecretsError(#[from] NoName);

impl AuditArgs {
    /// What is taken out; `None` where nothing is recorded.
    ///
    /// # Errors
    /// [`SecretsError`] for names that are none.
    pub fn secrets(&self) -> Result<Option<Secrets>, SecretsError> {
        let secrets = Secrets::read(&self.audit_redact)?;
        Ok(self.audit.then_some(secrets))
    }
}

/// What stands between the service and the world.
#[derive(Debug, Clone, Default, Args)]
pub struct EdgeArgs {
    /// From which origins browsers may read, such as https://app.example: several with commas
    /// between, or * for any. From no other site unless said.
    #[arg(long, env = "FLORIN_CORS_ORIGINS", default_value = "", value_name = "ORIGINS")]
    pub cors_origins: String,
    /// The certificate and its chain (PEM); with it and the key the service speaks TLS. The files
    /// are read anew every minute.
    #[arg(long, env = "FLORIN_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, env = "FLORIN_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How many proxies stand before the service and add to X-Forwarded-For who asked them: the
    /// client is the address that the outermost of them saw, and nothing left of it is believed. 0 if
    /// clients connect by themselves; more than there are lets them say that they are somebody else.
    #[arg(
        long,
        env = "FLORIN_TRUSTED_HOPS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u8).range(..=MAX_TRUSTED_HOPS),
        value_name = "N"
    )]
    pub trusted_hops: u8,
}

/// Far more than stand before any service.
const MAX_TRUSTED_HOPS: i64 = 16;

/// Why the service is not put before the world.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// There is an origin that is none.
    #[error("FLORIN_CORS_ORIGINS: {0}")]
    Origins(#[from] NoOrigin),
    /// Certificate and key are not there, or do not fit.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl EdgeArgs {
    /// As the server takes them.
    ///
    /// # Errors
    /// [`EdgeError`], by name.
    pub fn edge(&self) -> Result<Edge, EdgeError> {
        let origins = Origins::read(&self.cors_origins)?;
        let tls = Tls::open(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        Ok(Edge { origins, tls, trusted_hops: self.trusted_hops.into(), limits: None })
    }
}

/// Where `florin dev` keeps everything.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// The directory of the private Postgres and NATS, kept between runs.
    #[arg(long, env = "FLORIN_DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// What is logged.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Which events, as `tracing` filters them: `info`, `florin_adapters=debug,http=warn` …
    #[arg(long, env = "FLORIN_LOG", default_value = DEFAULT_FILTER, value_name = "FILTER")]
    pub log: String,
    /// How they look.
    #[arg(long, env = "FLORIN_LOG_FORMAT", default_value = "auto", value_name = "FORMAT")]
    pub log_format: Format,
}
