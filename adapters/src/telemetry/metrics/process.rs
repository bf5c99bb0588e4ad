//! What this process is: its build, its memory, its age; and what waits in it.

use std::time::Instant;

use florin_application::Depth;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

pub(super) fn observe(meter: &Meter) {
    let build = [
        KeyValue::new("version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("commit", crate::version::COMMIT),
    ];
    meter
        .u64_observable_gauge("florin.build.info")
        .with_description("Always 1: the version and the commit are in the labels.")
        .with_callback(move |gauge| gauge.observe(1, &build))
        .build();
    meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("The physical memory that the process has.")
        .with_callback(|gauge| {
            // Elsewhere than on Linux nobody says.
            if let Some(bytes) = resident() {
                gauge.observe(bytes, &[]);
            }
        })
        .build();
    let begun = Instant::now();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("For how long the process has run.")
        .with_callback(move |gauge| gauge.observe(begun.elapsed().as_secs_f64(), &[]))
        .build();
}

pub(super) fn observe_queues(meter: &Meter, depths: Vec<Depth>) {
    meter
        .u64_observable_gauge("florin.queue.depth")
        .with_unit("{command}")
        .with_description("How many commands wait for the writer of a partition, of 8192 at most.")
        .with_callback(move |gauge| {
            for (partition, depth) in (0_i64..).zip(&depths) {
                let commands = u64::try_from(depth.commands()).unwrap_or(u64::MAX);
                gauge.observe(commands, &[KeyValue::new("partition", partition)]);
            }
        })
        .build();
}

fn resident() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Source of the format: proc(5), `VmRSS:      1234 kB`.
fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_the_resident_part() {
        assert_eq!(
            resident_in("VmPeak:\t 9 kB\nVmRSS:\t   1234 kB\nThreads:\t5\n"),
            Some(1_263_616)
        );
        assert_eq!(resident_in("VmPeak:\t 9 kB\n"), None);
        assert_eq!(resident_in("VmRSS:\t many kB\n"), None);
    }
}
