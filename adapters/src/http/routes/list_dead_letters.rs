//! `GET /dead-letters`: `projection?` `wallet?` `state?` `limit?` `cursor?`; by projection, then in
//! the order of the journal.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::dead_letters::{self, Page};
use crate::http::problem::Problem;

pub(super) async fn get(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let Page { filter, after, limit } = page;
    dead_letters::list(&api.dead_letters.list(&filter, after.as_ref(), limit).await?)
}
