//! `GET /api/v1/wallet/user`: the caller's own wallet, as an older system answered; its token may come
//! in a cookie.
//!
//! A user has one wallet there. Here it is the one that has their id, if they own it; else the first
//! that they own; else the one that has their id and belongs to nobody.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use florin_domain::Owner;
use florin_projections::balance::{Filter, WalletRow};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::http::Api;
use crate::http::answer::{self, Time};
use crate::http::code::Code;
use crate::http::guard::nobody;
use crate::http::openapi::parameters::FromPosition;
use crate::http::openapi::types;
use crate::http::position::{Least, as_of};
use crate::http::problem::{Member, Problem};

/// The wallet of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsersWallet)]
struct UsersWalletAnswer<'a> {
    #[schema(value_type = types::WalletName)]
    id: &'a str,
    #[schema(value_type = types::OwnerName)]
    user_id: &'a str,
    #[schema(value_type = types::Amount)]
    balance: Decimal,
    created_at: Time,
    updated_at: Time,
}

/// Reads the caller's own wallet.
#[utoipa::path(
    get,
    path = "/api/v1/wallet/user",
    operation_id = "get_users_wallet",
    tag = "wallets",
    params(FromPosition),
    responses((status = 200, description = "The caller's wallet.", body = UsersWalletAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Option<Extension<Arc<Caller>>>,
    least: Least,
) -> Result<Response, Problem> {
    let Some(Extension(caller)) = caller else { return Err(unknown_caller()) };
    let user = caller.subject.as_ref().ok_or_else(nobody)?;
    let (row, positions) = find(&api, user, &least).await?.ok_or_else(|| without_wallet(user))?;
    let body = UsersWalletAnswer {
        id: &row.wallet_id,
        user_id: user.as_str(),
        balance: row.balance,
        created_at: Time(row.opened_at),
        updated_at: Time(row.updated_at),
    };
    let response = answer::versioned(StatusCode::OK, row.version, &body)?;
    Ok(as_of(response, &positions))
}

type AsOf = (WalletRow, Vec<(u32, u64)>);

async fn find(api: &Api, user: &Owner, least: &Least) -> Result<Option<AsOf>, Problem> {
    let mut named = None;
    if let Ok(id) = user.as_str().parse() {
        let least = least.in_partition(api.reads.partition_of(&id));
        let found = api.reads.wallet(&id, least).await?;
        named = found
            .wallet
            .map(|wallet| (wallet.row.clone(), vec![(found.partition, found.position)]));
    }
    let owner = |(row, _): &AsOf| row.owner.as_deref().map(|owner| owner == user.as_str());
    if named.as_ref().and_then(owner) == Some(true) {
        return Ok(named);
    }
    let least = least.by_partition(api.reads.partitions())?;
    let filter = Filter { owner: Some(user.as_str().to_owned()), ..Filter::default() };
    let list = api.reads.wallets(&least, &filter, None, 1).await?;
    let owned = list.wallets.into_iter().next().map(|row| (row, list.positions));
    Ok(owned.or_else(|| named.filter(|named| owner(named).is_none())))
}

fn without_wallet(user: &Owner) -> Problem {
    Problem::new(Code::WalletNotFound, "This user has no wallet: open one with POST /wallets.")
        .with("exists", Member::Flag(false))
        .with("userId", Member::Text(user.as_str().to_owned()))
}

/// Without authentication there is nobody whose wallet it could be.
fn unknown_caller() -> Problem {
    Problem::new(
        Code::MissingToken,
        "This service asks nobody who they are (--auth=off): it knows wallets by their ids only.",
    )
}
