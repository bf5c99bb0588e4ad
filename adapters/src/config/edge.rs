//! Where the service listens, and what stands between it and the world.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use thiserror::Error;

use crate::http::{Edge, NoOrigin, Origins, Tls, TlsError};

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
