use chrono::DateTime;
use florin_domain::journal::GENESIS;

use super::*;

const TRANSFER: &str = "00000000-0000-0000-0000-000000000007";

fn apply(rows: &mut Rows, stream: &str, payload: &str) -> Result<(), Unapplicable> {
    let recorded = RecordedEvent {
        partition: 0,
        position: 1,
        aggregate_type: if stream == TRANSFER { "Transfer" } else { "Wallet" },
        aggregate_id: stream.into(),
        sequence: 2,
        event_type: "".into(),
        event_version: "1.0".to_owned(),
        payload: payload.to_owned(),
        metadata: r#"{"requestId":"r-1"}"#.into(),
        balance: None,
        recorded_at: DateTime::UNIX_EPOCH,
        hash: GENESIS,
    };
    History.apply(rows, &Fact::read(&recorded).unwrap())
}

fn moved(name: &str) -> String {
    format!(
        r#"{{"{name}":{{"transactionId":"{TRANSFER}","transferId":"{TRANSFER}","counterparty":"bob",
            "amount":"1.00","currency":"USD","balance":"2.00"}}}}"#
    )
}

const COMPLETED: &str =
    r#"{"TransferCompleted":{"balance":"1.00","version":1,"partition":0,"position":1}}"#;
const FAILED: &str = r#"{"TransferFailed":{"reason":{"code":"wallet-closed"}}}"#;

#[test]
fn entries_are_numbered_on_from_the_last_one() {
    let mut rows = Rows::default();
    rows.last.insert("alice".into(), 41);
    for name in ["FundsDeposited", "FundsWithdrawn", "FundsCredited", "FundsRefunded"] {
        apply(&mut rows, "alice", &moved(name)).unwrap();
    }
    apply(&mut rows, "carol", &moved("FundsDeposited")).unwrap();
    let entries: Vec<_> = rows.movements.iter().map(|m| (m.entry, m.kind.name())).collect();
    let expected = [
        (42, "deposit"),
        (43, "withdrawal"),
        (44, "transfer_in"),
        (45, "transfer_refund"),
        (1, "deposit"),
    ];
    assert_eq!(entries, expected);
    assert!(rows.movements.iter().all(|movement| movement.status == Status::Completed));
    assert_eq!(rows.movements[0].request_id.as_deref(), Some("r-1"));
    assert_eq!(rows.movements[0].counterparty, None);
    assert_eq!(rows.movements[2].counterparty.as_deref(), Some("bob"));
}

#[test]
fn a_transfer_out_is_pending_until_its_transfer_ends() {
    for (end, status) in [(COMPLETED, Status::Completed), (FAILED, Status::Failed)] {
        let mut rows = Rows::default();
        apply(&mut rows, "alice", &moved("FundsDebited")).unwrap();
        assert_eq!(rows.movements[0].status, Status::Pending);
        apply(&mut rows, TRANSFER, end).unwrap();
        assert_eq!(rows.movements[0].status, status);
        assert!(rows.in_flight.is_empty() && rows.ended.is_empty(), "nothing is left to store");
    }
}

#[test]
fn a_stored_transfer_ends_in_its_entry() {
    let mut rows = Rows::default();
    let stored = InFlight { wallet_id: "alice".into(), entry: 9, index: None };
    rows.in_flight.insert(TRANSFER.parse().unwrap(), stored);
    apply(&mut rows, TRANSFER, FAILED).unwrap();
    let [ended] = &rows.ended[..] else { panic!("{rows:?}") };
    assert_eq!((ended.entry, ended.status), (9, Status::Failed));
    assert_eq!(ended.failure.as_deref(), Some("the wallet is closed"));
}

#[test]
fn a_transfer_that_moved_nothing_ends_without_an_entry() {
    let mut rows = Rows::default();
    apply(&mut rows, TRANSFER, FAILED).unwrap();
    assert!(rows.movements.is_empty() && rows.ended.is_empty());
}

#[test]
fn a_second_debit_of_a_transfer_changes_nothing() {
    let mut rows = Rows::default();
    apply(&mut rows, "alice", &moved("FundsDebited")).unwrap();
    let error = apply(&mut rows, "alice", &moved("FundsDebited")).unwrap_err();
    assert_eq!(error.0, "the transfer was debited before");
    assert_eq!((rows.movements.len(), rows.last["alice"]), (1, 1));
}
