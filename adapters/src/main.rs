//! The binary `florin`.

fn main() {}
