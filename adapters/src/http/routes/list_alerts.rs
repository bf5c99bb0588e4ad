//! `GET /fraud/alerts`: `wallet?` `rule?` `state?` `from?` `to?` `limit?` `cursor?`; newest first.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::alerts::{self, Page};
use crate::http::problem::Problem;

pub(super) async fn get(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let Page { filter, after, limit } = page;
    let list = api.fraud.list(&filter, after.as_ref(), limit).await;
    alerts::list(&list.map_err(|error| alerts::away(&error))?)
}
