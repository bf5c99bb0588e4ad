use florin_domain::journal::GENESIS;

use super::*;

const TRANSFER: &str = "00000000-0000-0000-0000-000000000007";
const DAY: i64 = 86_400;

fn apply(rows: &mut Rows, at: i64, name: &str) -> Result<(), Unapplicable> {
    let is_wallet = name.starts_with("Funds");
    let payload = match is_wallet {
        true => format!(
            r#"{{"{name}":{{"transactionId":"{TRANSFER}","transferId":"{TRANSFER}",
                "counterparty":"bob","amount":"2.50","currency":"USD","balance":"9.00"}}}}"#
        ),
        false => {
            format!(r#"{{"{name}":{{"balance":"1.00","version":1,"partition":0,"position":1}}}}"#)
        }
    };
    let recorded = RecordedEvent {
        partition: 0,
        position: 1,
        aggregate_type: if is_wallet { "Wallet" } else { "Transfer" },
        aggregate_id: if is_wallet { "alice".into() } else { TRANSFER.into() },
        sequence: 2,
        event_type: "".into(),
        event_version: "1.0".to_owned(),
        payload,
        metadata: "{}".into(),
        balance: None,
        recorded_at: DateTime::from_timestamp(at, 0).unwrap(),
        hash: GENESIS,
    };
    Stats.apply(rows, &Fact::read(&recorded).unwrap())
}

fn sum(amount: &str, count: i64) -> Sum {
    Sum { amount: amount.parse().unwrap(), count }
}

#[test]
fn each_movement_counts_under_its_heading_and_on_its_day() {
    let mut rows = Rows::default();
    for name in ["FundsDeposited", "FundsWithdrawn", "FundsCredited", "FundsDebited"] {
        apply(&mut rows, DAY - 1, name).unwrap();
    }
    apply(&mut rows, DAY, "FundsDeposited").unwrap();
    let change = &rows.changes["alice"];
    assert_eq!((change.deposited, change.withdrawn), (sum("5.00", 2), sum("2.50", 1)));
    assert_eq!((change.transferred_in, change.transferred_out), (sum("2.50", 1), sum("2.50", 1)));
    assert_eq!(change.last_activity_at.unwrap().timestamp(), DAY);
    assert_eq!(rows.volumes.len(), 2);
    let first = &rows.volumes[&("alice".into(), NaiveDate::default())];
    assert_eq!((first.money_in, first.money_out), (sum("5.00", 2), sum("5.00", 2)));
}

#[test]
fn a_refund_takes_the_debit_out_of_its_own_day() {
    let mut rows = Rows::default();
    apply(&mut rows, 0, "FundsDebited").unwrap();
    apply(&mut rows, DAY, "FundsRefunded").unwrap();
    assert_eq!(rows.changes["alice"].transferred_out, sum("0.00", 0));
    assert_eq!(rows.changes["alice"].last_activity_at.unwrap().timestamp(), DAY);
    assert_eq!(rows.volumes.len(), 1);
    assert_eq!(rows.volumes[&("alice".into(), NaiveDate::default())].money_out, sum("0.00", 0));
    assert!(rows.in_flight.is_empty() && rows.landed.is_empty());
}

#[test]
fn a_stored_debit_is_forgotten_when_it_has_landed() {
    let mut rows = Rows::default();
    let stored = InFlight { wallet_id: "alice".into(), day: NaiveDate::default(), is_stored: true };
    rows.in_flight.insert(TRANSFER.parse().unwrap(), stored);
    apply(&mut rows, DAY, "TransferCompleted").unwrap();
    assert_eq!(rows.landed, [TRANSFER.parse::<Uuid>().unwrap()]);
    assert!(rows.changes.is_empty());
}

#[test]
fn a_refund_without_its_debit_is_refused() {
    let mut rows = Rows::default();
    let error = apply(&mut rows, 0, "FundsRefunded").unwrap_err();
    assert_eq!(error.0, "refunds a debit that is not in flight");
    assert!(rows.changes.is_empty() && rows.volumes.is_empty());
}
