//! The ids in paths, percent-decoded and checked.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use florin_application::command::RequestId;
use florin_domain::{TransferId, WalletId};
use florin_projections::dead_letters::LetterId;
use florin_projections::fraud::review::is_alert_id;
use uuid::Uuid;

use super::code::Code;
use super::problem::Problem;

/// `{id}` of a wallet.
#[derive(Debug)]
pub(super) struct WalletPath(pub(super) WalletId);

/// `{id}` of a transfer.
#[derive(Debug)]
pub(super) struct TransferPath(pub(super) TransferId);

/// `{id}` of an alert.
#[derive(Debug)]
pub(super) struct AlertPath(pub(super) String);

/// `{id}` of a dead letter.
#[derive(Debug)]
pub(super) struct LetterPath(pub(super) LetterId);

/// `{id}` of a call on record.
#[derive(Debug)]
pub(super) struct CallPath(pub(super) Uuid);

/// `{id}` of an operation.
#[derive(Debug)]
pub(super) struct OperationPath(pub(super) Uuid);

/// `{walletId}`, where there is one, and `{key}` of an idempotency key.
#[derive(Debug)]
pub(super) struct KeyPath {
    pub(super) wallet: Option<WalletId>,
    pub(super) key: RequestId,
}

impl<S: Send + Sync> FromRequestParts<S> for WalletPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = id(parts, state).await;
        id.map(Self).ok_or_else(invalid_wallet_id)
    }
}

fn invalid_wallet_id() -> Problem {
    Problem::new(
        Code::InvalidWalletId,
        "A wallet id is 1 to 64 letters, digits, `_` or `-`: correct the path.",
    )
}

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let invalid = |why: &dyn std::fmt::Display| {
            Problem::new(Code::InvalidRequestId, format!("The key in the path: {why}."))
        };
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|_| invalid(&"it is UTF-8, percent-encoded"))?;
        let named = |name| parameters.iter().find(|(known, _)| *known == name);
        let wallet = named("walletId").map(|(_, text)| text.parse()).transpose();
        let wallet = wallet.map_err(|_| invalid_wallet_id())?;
        let key = named("key").map_or("", |(_, text)| text);
        Ok(Self { wallet, key: key.parse().map_err(|why| invalid(&why))? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TransferPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id: Option<Uuid> = id(parts, state).await;
        id.map(|id| Self(TransferId(id))).ok_or_else(|| {
            Problem::new(
                Code::InvalidTransferId,
                "A transfer id is a UUID, as the answer to the transfer gave it: correct the path.",
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OperationPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id: Option<Uuid> = id(parts, state).await;
        id.map(Self).ok_or_else(|| {
            Problem::new(
                Code::InvalidOperationId,
                "An operation id is a UUID, as Location gave it: correct the path.",
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AlertPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id: Option<String> = id(parts, state).await;
        id.filter(|id| is_alert_id(id)).map(Self).ok_or_else(|| {
            Problem::new(
                Code::InvalidAlertId,
                "An alert id is a rule and an event, such as largeOutflow:0-17: correct the path.",
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LetterPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = id(parts, state).await;
        id.map(Self).ok_or_else(|| {
            Problem::new(
                Code::InvalidDeadLetterId,
                "A dead letter id is <projection>:<partition>:<position>, such as balance:0:123: \
                 correct the path.",
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        id(parts, state).await.map(Self).ok_or_else(|| {
            Problem::new(
                Code::InvalidCallId,
                "The id of a call is a UUID, as `auditId` in the metadata of an event: correct the \
                 path.",
            )
        })
    }
}

/// The only parameter of the path, if it is UTF-8 and an id. `/wallets/transfer` has none: there the
/// id is the end of the path itself.
async fn id<T: FromStr, S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<T> {
    let parameters = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let end = || parts.uri.path().rsplit('/').next();
    let text = parameters.iter().next().map(|(_, text)| text).or_else(end);
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    /// What a handler is given as the wallet of a path.
    async fn wallet_in(path: &str) -> Result<String, u16> {
        let echo = async |WalletPath(id): WalletPath| id.to_string();
        let routes =
            Router::new().route("/wallets/{id}", get(echo)).route("/wallets/transfer", get(echo));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        if !response.status().is_success() {
            return Err(response.status().as_u16());
        }
        let body = to_bytes(response.into_body(), 100).await.unwrap();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_id_is_decoded_and_checked() {
        assert_eq!(wallet_in("/wallets/w%2D1").await, Ok("w-1".to_owned()));
        for bad in ["a%20b", "a%2Fb", "a.b", "%FF", &"x".repeat(65)] {
            assert_eq!(wallet_in(&format!("/wallets/{bad}")).await, Err(400), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_wallet_may_have_the_name_of_a_route() {
        assert_eq!(wallet_in("/wallets/transfer").await, Ok("transfer".to_owned()));
    }
}
