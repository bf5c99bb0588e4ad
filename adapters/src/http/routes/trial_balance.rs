//! `GET /ledger/trial-balance`: `at?` `minPosition?`; whether the money adds up, per currency.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use crate::http::Api;
use crate::http::openapi::parameters::FromPosition;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::trial_balance;

/// Makes the trial balance.
///
/// All figures are as of one position of each partition. Without `at` that is the end of the journal.
#[utoipa::path(
    get,
    path = "/ledger/trial-balance",
    operation_id = "get_trial_balance",
    tag = "operations",
    params(trial_balance::Parameters, FromPosition),
    responses((
        status = 200, description = "The figures, by the code of the currency.",
        body = trial_balance::TrialBalanceAnswer,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    least: Least,
    uri: Uri,
) -> Result<Response, Problem> {
    let partitions = api.reads.partitions();
    let least = least.by_partition(partitions)?;
    let asked = trial_balance::asked(&uri, partitions)?;
    let answer = api.reports.trial_balance(asked.clone()).await?;
    trial_balance::check(&least, &asked, &answer)?;
    trial_balance::figures(&answer)
}
