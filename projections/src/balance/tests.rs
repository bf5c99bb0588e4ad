use chrono::DateTime;
use florin_domain::journal::GENESIS;

use super::*;

fn recorded(sequence: u64, payload: &str) -> RecordedEvent {
    RecordedEvent {
        partition: 3,
        position: 100 + sequence,
        aggregate_type: "Wallet",
        aggregate_id: "alice".into(),
        sequence,
        event_type: "".into(),
        event_version: "1.1".to_owned(),
        payload: payload.to_owned(),
        metadata: "{}".into(),
        balance: None,
        recorded_at: DateTime::from_timestamp(1_000 + sequence.cast_signed(), 0).unwrap(),
        hash: GENESIS,
    }
}

fn apply(rows: &mut Rows, sequence: u64, payload: &str) -> Result<(), Unapplicable> {
    let recorded = recorded(sequence, payload);
    Balance.apply(rows, &Fact::read(&recorded).unwrap())
}

const OPENED: &str = r#"{"WalletOpened":{"currency":"USD","owner":"o","metadata":{"a":1.50}}}"#;

fn deposited(currency: &str, balance: &str) -> String {
    format!(
        r#"{{"FundsDeposited":{{"transactionId":"00000000-0000-0000-0000-000000000001",
            "amount":"1.00","currency":"{currency}","balance":"{balance}"}}}}"#
    )
}

#[test]
fn a_row_is_what_its_events_say() {
    let mut rows = Rows::default();
    apply(&mut rows, 1, OPENED).unwrap();
    apply(&mut rows, 2, &deposited("USD", "1.00")).unwrap();
    apply(&mut rows, 3, r#"{"WalletFrozen":{}}"#).unwrap();
    let row = &rows.wallets["alice"];
    assert_eq!((row.balance.to_string().as_str(), row.status), ("1.00", Status::Frozen));
    assert_eq!((row.version, row.position, row.partition), (3, 103, 3));
    assert_eq!((row.owner.as_deref(), row.metadata.as_deref()), (Some("o"), Some(r#"{"a":1.50}"#)));
    assert_eq!((row.opened_at.timestamp(), row.updated_at.timestamp()), (1_001, 1_003));
    apply(&mut rows, 4, r#"{"WalletUnfrozen":{}}"#).unwrap();
    assert_eq!(rows.wallets["alice"].status, Status::Active);
    apply(&mut rows, 5, r#"{"WalletClosed":{}}"#).unwrap();
    assert_eq!(rows.wallets["alice"].status, Status::Closed);
}

#[test]
fn what_cannot_be_leaves_the_rows_as_they_were() {
    let mut rows = Rows::default();
    let early = apply(&mut rows, 2, &deposited("USD", "1.00")).unwrap_err();
    assert_eq!(early.0, "the wallet was never opened");
    assert!(rows.wallets.is_empty());
    apply(&mut rows, 1, OPENED).unwrap();
    let before = rows.wallets["alice"].clone();
    for (sequence, payload, error) in [
        (2, OPENED.to_owned(), "the wallet was opened before"),
        (2, deposited("EUR", "1.00"), "moves EUR in a wallet of USD"),
        (1, deposited("USD", "1.00"), "event 1 of the wallet follows 1"),
    ] {
        assert_eq!(apply(&mut rows, sequence, &payload).unwrap_err().0, error);
        assert_eq!(rows.wallets["alice"], before, "{error}");
    }
}
