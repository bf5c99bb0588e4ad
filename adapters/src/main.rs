//! The binary `florin`.

use std::process::ExitCode;

/// A batch makes and frees thousands of small texts, on two threads by turns. This allocator hands out
/// first what was freed last, which is in the cache still: beside mimalloc, which walks through each of
/// its pages first, a GET is a seventh cheaper, and a deposit a quarter.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    florin_adapters::cli::run().await
}
