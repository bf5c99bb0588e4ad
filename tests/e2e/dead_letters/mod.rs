//! Dead letters before operators, on a real Postgres.

mod routes;
mod verbs;
