use axum::body::to_bytes;
use florin_application::command::WalletState;
use florin_domain::transfer::Details;
use florin_domain::wallet::{Account, Status};
use florin_domain::{Amount, Refusal, RequestedAmount};
use futures::executor::block_on;
use uuid::Uuid;

use super::*;
use crate::http::wallets;

fn amount(text: &str) -> Amount {
    let amount: RequestedAmount = text.parse().unwrap();
    amount.in_currency(Currency::USD).unwrap()
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap()
}

fn wallet_state(owner: Option<&str>) -> WalletState {
    WalletState {
        wallet_id: "w-1".parse().unwrap(),
        account: Account {
            currency: Currency::USD,
            balance: "12.50".parse().unwrap(),
            status: Status::Active,
            owner: owner.map(|owner| owner.parse().unwrap()),
        },
        version: 3,
        partition: 0,
        position: 9,
        opened_at: time(0),
        updated_at: time(1_500_001),
    }
}

fn receipt_in(phase: Phase) -> TransferReceipt {
    let leg = |balance: &str, version| Leg {
        balance: balance.parse().unwrap(),
        version,
        partition: 0,
        position: version,
    };
    TransferReceipt {
        transfer_id: TransferId(Uuid::nil()),
        phase,
        from: "a".parse().unwrap(),
        to: "b".parse().unwrap(),
        amount: amount("2"),
        debit: leg("3.00", 4),
        credit: (phase == Phase::Completed).then(|| leg("7.00", 2)),
        partition: 0,
        position: 11,
        recorded_at: time(0),
    }
}

fn shown(response: Response) -> (u16, Option<String>, String) {
    let tag = response.headers().get(ETAG);
    let tag = tag.map(|tag| tag.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = block_on(to_bytes(response.into_body(), 4096)).unwrap();
    (status, tag, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn a_wallet_is_shown_whole() {
    let (status, tag, body) =
        shown(wallets::state(StatusCode::OK, &wallet_state(Some("alice"))).unwrap());
    assert_eq!((status, tag.as_deref()), (200, Some("\"3\"")));
    assert_eq!(
        body,
        concat!(
            r#"{"id":"w-1","walletId":"w-1","exists":true,"currency":"USD","balance":"12.50","#,
            r#""status":"active","owner":"alice","version":3,"partition":0,"position":9,"#,
            r#""createdAt":"1970-01-01T00:00:00.000000Z","updatedAt":"1970-01-01T00:00:01.500001Z"}"#
        )
    );
}

#[test]
fn a_wallet_of_nobody_has_no_owner() {
    let (_, _, body) = shown(wallets::state(StatusCode::OK, &wallet_state(None)).unwrap());
    assert!(body.contains(r#""owner":null"#), "{body}");
}

#[test]
fn a_movement_is_shown_with_the_key_that_was_sent() {
    let done = Movement {
        direction: Direction::Withdrawal,
        transaction_id: TransactionId(Uuid::nil()),
        wallet_id: "w-1".parse().unwrap(),
        amount: amount("2.5"),
        balance: "10.00".parse().unwrap(),
        version: 4,
        partition: 1,
        position: 10,
        recorded_at: time(0),
    };
    let key = "k-1".parse().unwrap();
    let (status, tag, body) = shown(movement(&done, Some(&key)).unwrap());
    assert_eq!((status, tag.as_deref()), (201, Some("\"4\"")));
    assert_eq!(
        body,
        concat!(
            r#"{"transactionId":"00000000-0000-0000-0000-000000000000","walletId":"w-1","#,
            r#""type":"withdrawal","amount":"2.50","currency":"USD","balance":"10.00","version":4,"#,
            r#""partition":1,"position":10,"recordedAt":"1970-01-01T00:00:00.000000Z","#,
            r#""requestId":"k-1"}"#
        )
    );
    let (_, _, body) = shown(movement(&done, None).unwrap());
    assert!(!body.contains("requestId"), "{body}");
}

#[test]
fn a_completed_transfer_is_created() {
    let called = Uri::from_static("/wallets/a/transfer");
    let response = receipt(&receipt_in(Phase::Completed), None, &called, &Reach::Any).unwrap();
    assert!(!response.headers().contains_key(LOCATION));
    let (status, tag, body) = shown(response);
    assert_eq!((status, tag.as_deref()), (201, Some("\"4\"")));
    assert_eq!(
        body,
        concat!(
            r#"{"transferId":"00000000-0000-0000-0000-000000000000","status":"completed","#,
            r#""fromWalletId":"a","toWalletId":"b","amount":"2.00","currency":"USD","#,
            r#""fromBalance":"3.00","toBalance":"7.00","version":4,"toVersion":2,"partition":0,"#,
            r#""position":11,"recordedAt":"1970-01-01T00:00:00.000000Z"}"#
        )
    );
}

#[test]
fn a_transfer_under_way_says_where_to_look() {
    for (called, location) in [
        ("/v1/transfers", "/v1/transfers/00000000-0000-0000-0000-000000000000"),
        ("/wallet/v1/transfer", "/transfers/00000000-0000-0000-0000-000000000000"),
    ] {
        let called = Uri::from_static(called);
        let response = receipt(&receipt_in(Phase::Debited), None, &called, &Reach::Any).unwrap();
        assert_eq!(response.headers()[LOCATION], location);
        let (status, _, body) = shown(response);
        assert_eq!(status, 202);
        assert!(body.contains(r#""status":"debited""#), "{body}");
        assert!(!body.contains("toBalance"), "{body}");
    }
}

#[test]
fn a_failed_transfer_says_why() {
    let state = TransferState {
        transfer_id: TransferId(Uuid::nil()),
        details: Details {
            from: "a".parse().unwrap(),
            to: "b".parse().unwrap(),
            amount: amount("2"),
            metadata: Some(serde_json::from_str(r#"{"n":1.10}"#).unwrap()),
            debit: None,
            credit: None,
            phase: Phase::Failed,
            refusal: Some(Refusal::InsufficientFunds {
                available: "1.00".parse().unwrap(),
                requested: "2.00".parse().unwrap(),
                currency: "USD".parse().unwrap(),
            }),
        },
        request_id: Some("k".to_owned()),
        version: 2,
        partition: 0,
        position: 5,
        initiated_at: time(0),
        updated_at: time(0),
    };
    let (status, tag, body) = shown(transfer(&state, Ends { from: true, to: true }).unwrap());
    assert_eq!((status, tag.as_deref()), (200, Some("\"2\"")));
    assert_eq!(
        body,
        concat!(
            r#"{"transferId":"00000000-0000-0000-0000-000000000000","status":"failed","reason":"#,
            r#"{"code":"insufficient-funds","detail":"The wallet holds 1.00, which is less than "#,
            r#"2.00: ask for less, or deposit first.","available":"1.00","requested":"2.00","currency":"USD"},"#,
            r#""fromWalletId":"a","toWalletId":"b","amount":"2.00","currency":"USD","#,
            r#""requestId":"k","metadata":{"n":1.10},"version":2,"partition":0,"position":5,"#,
            r#""createdAt":"1970-01-01T00:00:00.000000Z","updatedAt":"1970-01-01T00:00:00.000000Z"}"#
        )
    );
}
