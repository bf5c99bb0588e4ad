//! The care of the database: migrations, roles.

mod migrating;
mod roles;
