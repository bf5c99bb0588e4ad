use axum::http::StatusCode;
use florin_application::command::NewTransfer;
use florin_domain::wallet::{Account, Freeze, Open, Status};
use florin_domain::{Currency, TransferId};
use uuid::Uuid;

use super::*;
use crate::http::code::Code;
use crate::http::guard::Reach;

fn transfer() -> Command {
    Command::Transfer(NewTransfer {
        transfer_id: TransferId(Uuid::nil()),
        from: "a".parse().unwrap(),
        to: "b".parse().unwrap(),
        amount: "1".parse().unwrap(),
        currency: None,
        metadata: None,
    })
}

fn opened(id: &str) -> Receipt {
    Receipt::Wallet(florin_application::command::WalletState {
        wallet_id: id.parse().unwrap(),
        account: Account {
            currency: Currency::USD,
            balance: 0.into(),
            status: Status::Active,
            owner: None,
        },
        version: 1,
        partition: 0,
        position: 1,
        opened_at: chrono::DateTime::UNIX_EPOCH,
        updated_at: chrono::DateTime::UNIX_EPOCH,
    })
}

fn refused(command: &Command, refusal: Refusal, on_record: bool) -> Problem {
    let transfer_id = on_record.then(|| TransferId(Uuid::nil()));
    Asked::of(command, None, &Reach::Any)
        .refused(&Refused { transfer_id, ..Refused::because(refusal) })
}

fn text(problem: &Problem, name: &str) -> Option<String> {
    let (_, member) = problem.members.iter().find(|(member, _)| *member == name)?;
    Some(serde_json::to_string(member).unwrap())
}

#[test]
fn an_opening_says_where_the_wallet_is_under_the_prefix_that_was_called() {
    let open = of_wallet(
        "born-twice".parse().unwrap(),
        WalletCommand::Open(Open {
            currency: Currency::USD,
            owner: None,
            metadata: None,
            initial: None,
        }),
    );
    for (called, location) in [("/wallets", "/wallets/w-1"), ("/v1/wallet", "/v1/wallet/w-1")] {
        let asked = Asked::of(&open, None, &Reach::Any);
        let response = asked.accepted(&Uri::from_static(called), &opened("w-1")).unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["location"], location);
    }
}

#[test]
fn other_commands_to_a_wallet_are_answered_with_200() {
    let freeze = WalletCommand::Freeze(Freeze { reason: None });
    let asked = Asked::of(&of_wallet("w-1".parse().unwrap(), freeze), None, &Reach::Any);
    let called = Uri::from_static("/wallets/w-1/freeze");
    let response = asked.accepted(&called, &opened("w-1")).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("location"));
}

#[test]
fn the_wallet_that_is_missing_is_named() {
    let problem = refused(&transfer(), Refusal::WalletNotFound, false);
    assert_eq!(problem.code, Code::WalletNotFound);
    assert_eq!(text(&problem, "walletId").unwrap(), "\"a\"");
    assert_eq!(text(&problem, "exists").unwrap(), "false");
    assert_eq!(text(&problem, "transferId"), None);
    let problem = refused(&transfer(), Refusal::WalletNotFound, true);
    assert_eq!(text(&problem, "walletId").unwrap(), "\"b\"");
}

#[test]
fn a_failed_transfer_that_is_on_record_is_named() {
    let problem = refused(&transfer(), Refusal::WalletClosed, true);
    assert_eq!(problem.code, Code::WalletClosed);
    assert_eq!(text(&problem, "transferId").unwrap(), "\"00000000-0000-0000-0000-000000000000\"");
}
