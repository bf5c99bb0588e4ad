//! From a command to its answer: the one place where the ledger's outcomes become HTTP. A client that
//! would rather not wait is answered before there is one.

use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use florin_application::command::{Answer, Command, Outcome, Receipt, Refused, Request, RequestId};
use florin_domain::{Refusal, WalletCommand, WalletId};

use super::Api;
use super::answer::{self, REPLAYED};
use super::audit;
use super::call::Call;
use super::guard::Reach;
use super::if_match::IfMatch;
use super::operations;
use super::problem::{Member, Problem};
use super::refusal::wallet_not_found;
use super::wallets;

/// A command to the wallet in the path.
pub(super) fn of_wallet(id: WalletId, command: WalletCommand) -> Command {
    Command::Wallet { id, id_is_new: false, command }
}

/// Carries a command to its outcome and renders that.
pub(super) async fn submit(api: &Api, call: Call, command: Command) -> Result<Response, Problem> {
    let asked = Asked::of(&command, call.request_id.as_ref(), &call.reach);
    let expected_owner = call.reach.owner()?.cloned();
    let status = if asked.opens { audit::of_opening } else { audit::of_command };
    let origin = call.origin(status);
    let request = Request {
        command,
        request_id: call.request_id,
        expected_version: call.if_match.and_then(IfMatch::version),
        expected_owner,
        origin,
    };
    if call.is_async && api.operations.is_open() {
        let accepted = api.operations.accept(request).await?;
        return operations::accepted(api, &accepted, &call.uri, &call.reach);
    }
    let Answer { outcome, replayed } = api.ledger.submit(request).await?;
    match outcome {
        Outcome::Accepted(receipt) => {
            tell(api, &receipt);
            let mut response = asked.accepted(&call.uri, &receipt)?;
            if replayed {
                let headers = response.headers_mut();
                headers.insert(REPLAYED, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        Outcome::Refused(refused) => Err(Problem { replayed, ..asked.refused(&refused) }),
    }
}

/// Whoever is told of a wallet's event reads it from now on, in this process.
pub(super) fn tell(api: &Api, receipt: &Receipt) {
    match receipt {
        Receipt::Wallet(state) => {
            api.reads.tell(&state.wallet_id, state.partition, state.position);
        }
        Receipt::Movement(movement) => {
            api.reads.tell(&movement.wallet_id, movement.partition, movement.position);
        }
        Receipt::Transfer(receipt) => {
            api.reads.tell(&receipt.from, receipt.partition, receipt.position);
            if let Some(credit) = &receipt.credit {
                api.reads.tell(&receipt.to, credit.partition, credit.position);
            }
        }
        Receipt::All(receipts) => receipts.iter().for_each(|receipt| tell(api, receipt)),
        Receipt::Leg(_) => {}
    }
}

/// What of a command its answer needs.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request_id: Option<RequestId>,
    pub(super) opens: bool,
    wallet: WalletId,
    target: Option<WalletId>,
    pub(super) reach: Reach,
}

impl Asked {
    pub(super) fn of(command: &Command, request_id: Option<&RequestId>, reach: &Reach) -> Self {
        let (opens, target) = match command {
            Command::Wallet { command, .. } => (matches!(command, WalletCommand::Open(_)), None),
            Command::Transfer(transfer) => (false, Some(transfer.to.clone())),
        };
        Self {
            request_id: request_id.cloned(),
            opens,
            wallet: command.wallet().clone(),
            target,
            reach: reach.clone(),
        }
    }

    fn accepted(&self, called: &Uri, receipt: &Receipt) -> Result<Response, Problem> {
        let request_id = self.request_id.as_ref();
        let status = answer::status(receipt, self.opens);
        match receipt {
            Receipt::Wallet(state) if self.opens => {
                // Not the id of the request: under its key, this is the wallet that was opened first.
                let location = format!("{}/{}", called.path(), state.wallet_id);
                let response = wallets::state(status, state)?;
                Ok(answer::located(response, &location))
            }
            Receipt::Wallet(state) => wallets::state(status, state),
            Receipt::Movement(movement) => answer::movement(movement, request_id),
            Receipt::Transfer(receipt) => answer::receipt(receipt, request_id, called, &self.reach),
            Receipt::Leg(_) | Receipt::All(_) => Err(not_of_a_command(receipt)),
        }
    }

    pub(super) fn refused(&self, refused: &Refused) -> Problem {
        refused_of(refused, Some(&self.wallet), self.target.as_ref())
    }
}

/// A refusal as its client was told: of a command to a wallet, if it named one, and to a target.
pub(super) fn refused_of(
    refused: &Refused,
    wallet: Option<&WalletId>,
    target: Option<&WalletId>,
) -> Problem {
    // A transfer is on record only if its source exists, so it is the target that does not.
    let missing = match (refused.transfer_id, target) {
        (Some(_), Some(target)) => Some(target),
        (None, _) | (_, None) => wallet,
    };
    let problem = match missing {
        Some(missing) if refused.refusal == Refusal::WalletNotFound => wallet_not_found(missing),
        Some(_) | None => Problem::from(&refused.refusal),
    };
    match refused.transfer_id {
        Some(id) => problem.with("transferId", Member::Text(id.to_string())),
        None => problem,
    }
}

/// A defect: no single command of a client has such an outcome.
pub(super) fn not_of_a_command(receipt: &Receipt) -> Problem {
    tracing::error!(target: "http", ?receipt, "a client's command was answered with this");
    Problem::internal()
}

#[cfg(test)]
mod tests;
