//! How long a test takes: seconds in every run, minutes with `FLORIN_LONG=1`.

/// What holds for this run.
pub fn short_or_long<T>(short: T, long: T) -> T {
    match std::env::var("FLORIN_LONG").as_deref() {
        Ok("1") => long,
        _ => short,
    }
}
