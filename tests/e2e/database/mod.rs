//! The care of the database: migrations, roles, backup and restore.

mod migrating;
mod restoring;
mod roles;
