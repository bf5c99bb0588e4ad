//! `POST /bulk`: `commands` `atomic?` `requestId?`; many commands at once, each by itself or all or
//! none.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use florin_application::{AtomicBulk, Command, Request, SubmitError};
use serde_json::value::RawValue;

use super::{close, deposit, freeze, open, transfer, unfreeze, withdraw};
use crate::auth::Scope;
use crate::http::Api;
use crate::http::audit;
use crate::http::bulk::{self, BulkCall, Done, Item};
use crate::http::code::Code;
use crate::http::fields::{Fields, missing, object};
use crate::http::guard::{Reach, insufficient};
use crate::http::key;
use crate::http::openapi::bodies::BulkRequest;
use crate::http::openapi::parameters::CommandHeaders;
use crate::http::problem::Problem;
use crate::http::submit::Asked;

/// Carries many commands out: each by itself, or all of them or none.
///
/// Without `atomic`, every command comes to an outcome of its own, as if they were sent one after
/// the other: the answer is a 200 that has, for each in the order of the request, the status and the
/// body or the problem that its single route would have answered. Keys belong to the commands. What
/// a transfer from one partition to another leaves under way is waited for where a later command of
/// the bulk is to the wallet that it pays.
///
/// With `atomic`, all commands take effect in one append, or none does: the answer is then the
/// problem of the first that is refused, with its `index`, and nothing of the others is on record.
/// They are decided one after the other, each on what those before it leave, and all their wallets
/// lie in one partition of the ledger. The bulk as a whole has one key, under which its first
/// outcome, refusal or not, is its only one.
#[utoipa::path(
    post,
    path = "/bulk",
    operation_id = "bulk",
    tag = "bulk",
    params(CommandHeaders),
    request_body(content = BulkRequest, examples(
        ("independent" = (summary = "Each by itself", value = json!({ "commands": [
            { "type": "deposit", "walletId": "alice", "amount": "100.00", "requestId": "d-1" },
            { "type": "transfer", "walletId": "alice", "toWalletId": "bob", "amount": "12.50",
              "requestId": "t-1" },
        ] }))),
        ("atomic" = (summary = "All or none", value = json!({
            "atomic": true,
            "requestId": "payout-4711",
            "commands": [
                { "type": "transfer", "walletId": "alice", "toWalletId": "bob", "amount": "10.00" },
                { "type": "transfer", "walletId": "alice", "toWalletId": "fees", "amount": "0.10" },
            ],
        }))),
    )),
    responses((
        status = 200, body = bulk::BulkAnswer,
        description = "What became of each command. Of an atomic bulk: all took effect.",
    )),
)]
pub(super) async fn post(State(api): State<Api>, mut call: BulkCall) -> Response {
    let left = call.left.take();
    let answered = match call.is_atomic {
        true => all(&api, call).await,
        false => each(&api, call).await,
    };
    let response = answered.into_response();
    left.iter().fold(response, |response, left| left.tell(response))
}

async fn each(api: &Api, call: BulkCall) -> Result<Response, Problem> {
    let owner = call.reach.owner()?;
    let origin = call.origin(audit::of_each);
    let mut requests = Vec::with_capacity(call.commands.len());
    let mut send = |Item { command, request_id }| {
        let asked = Asked::of(&command, request_id.as_ref(), &call.reach);
        requests.push(Request {
            command,
            request_id,
            expected_version: None,
            expected_owner: owner.cloned(),
            origin: origin.clone(),
        });
        asked
    };
    let asked: Vec<Result<Asked, Problem>> =
        call.commands.iter().map(|text| item(api, &call.reach, text).map(&mut send)).collect();
    let mut answers = api.ledger.submit_each(requests).await?.into_iter();
    // There is an answer for each.
    let mut answer = || answers.next().unwrap_or(Err(SubmitError::Rejected));
    let done = asked.into_iter().map(|asked| match asked {
        Ok(asked) => Done::Answered(asked.into(), answer()),
        Err(problem) => Done::Malformed(problem),
    });
    bulk::each(api, done.collect())
}

async fn all(api: &Api, call: BulkCall) -> Result<Response, Problem> {
    let mut commands = Vec::with_capacity(call.commands.len());
    for (index, text) in call.commands.iter().enumerate() {
        let command = item(api, &call.reach, text).and_then(of_atomic);
        commands.push(command.map_err(|problem| problem.of_whole(index))?);
    }
    let request_id = call.request_id.clone();
    let asked = |command| Asked::of(command, request_id.as_ref(), &call.reach);
    let asked = commands.iter().map(asked).collect();
    let expected_owner = call.reach.owner()?.cloned();
    let origin = call.origin(audit::of_command);
    let bulk = AtomicBulk { commands, request_id, expected_owner, origin };
    let answered = api.ledger.submit_all(bulk).await;
    bulk::all(api, asked, answered)
}

/// A command, read by its type.
fn item(api: &Api, reach: &Reach, text: &RawValue) -> Result<Item, Problem> {
    let mut fields: Fields = object("A command", text.get().as_bytes())?;
    let fields = &mut fields;
    let command = match fields.kind()?.as_str() {
        "open" => open::command(fields.opened()?, fields, reach),
        "deposit" => deposit::command(fields.wallet()?, fields, api.auto_open, reach),
        "withdraw" => withdraw::command(fields.wallet()?, fields),
        "transfer" => transfer::command(fields.paying()?, fields),
        "freeze" | "unfreeze" if *reach != Reach::Any => Err(insufficient(
            &[Scope::LedgerWrite],
            "`type`: whoever may command only their own wallets neither freezes nor unfreezes: leave \
             it out, or ask for the scope ledger:write.",
        )),
        "freeze" => freeze::command(fields.wallet()?, fields),
        "unfreeze" => unfreeze::command(fields.wallet()?, fields),
        "close" => close::command(fields.wallet()?, fields),
        _ => Err(Problem::of_field(
            Code::InvalidCommandType,
            "type",
            "a command is open, deposit, withdraw, transfer, freeze, unfreeze or close",
        )),
    }?;
    let request_id = key::agreed(&HeaderMap::new(), fields.request_ids()?)?;
    Ok(Item { command, request_id })
}

/// A command that is part of a whole: without a key of its own, and with an id, which decides the
/// partition.
fn of_atomic(Item { command, request_id }: Item) -> Result<Command, Problem> {
    if request_id.is_some() {
        return Err(Problem::new(
            Code::ConflictingFields,
            "An atomic bulk has one key: send `requestId` beside `commands`, not in them.",
        ));
    }
    match command {
        Command::Wallet { id_is_new: true, .. } => Err(missing("walletId")),
        command @ (Command::Wallet { .. } | Command::Transfer(_)) => Ok(command),
    }
}
