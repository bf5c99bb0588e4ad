//! The care of the database: migrations.

mod migrating;
