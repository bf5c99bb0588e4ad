//! The binary `florin`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    florin_adapters::cli::run().await
}
