//! The journal on its way to JetStream and back out of it.

mod leases;
