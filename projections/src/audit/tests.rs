use chrono::DateTime;
use uuid::Uuid;

use super::*;

/// A journal written by hand.
#[derive(Default)]
struct Book(Vec<RecordedEvent>);

impl Book {
    fn write(mut self, id: &str, sequence: u64, balance: Option<&str>, payload: &str) -> Self {
        let name = payload.trim_start_matches("{\"").split('"').next().unwrap();
        let mut event = RecordedEvent {
            partition: 0,
            position: self.0.len() as u64 + 1,
            aggregate_type: if balance.is_some() { "Wallet" } else { "Transfer" },
            aggregate_id: id.into(),
            sequence,
            event_type: florin_domain::journal::event_type_named(name),
            event_version: "1.1".to_owned(),
            payload: payload.to_owned(),
            metadata: "{}".into(),
            balance: balance.map(|text| text.parse().unwrap()),
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        };
        event.hash = event.chained(&self.0.last().map_or(GENESIS, |last| last.hash));
        self.0.push(event);
        self
    }

    fn opened(self, id: &str) -> Self {
        self.write(id, 1, Some("0.00"), r#"{"WalletOpened":{"currency":"USD"}}"#)
    }

    fn moved(self, name: &str, id: &str, sequence: u64, amount: &str, balance: &str) -> Self {
        let transfer = Uuid::from_u128(7);
        let payload = format!(
            r#"{{"{name}":{{"transactionId":"{transfer}","transferId":"{transfer}",
                "counterparty":"x","amount":"{amount}","currency":"USD","balance":"{balance}"}}}}"#
        );
        self.write(id, sequence, Some(balance), &payload)
    }

    fn transfer(self, sequence: u64, payload: &str) -> Self {
        self.write(&Uuid::from_u128(7).to_string(), sequence, None, payload)
    }

    fn audit(&self) -> Result<Summary, Problem> {
        let mut audit = Audit::default();
        self.0.iter().try_for_each(|event| audit.take(event))?;
        audit.finish()
    }

    fn problem(&self) -> String {
        self.audit().unwrap_err().to_string()
    }
}

const INITIATED: &str =
    r#"{"TransferInitiated":{"from":"a","to":"b","amount":"2.00","currency":"USD"}}"#;
const DEBITED: &str =
    r#"{"TransferDebited":{"balance":"3.00","version":3,"partition":0,"position":4}}"#;
const COMPLETED: &str =
    r#"{"TransferCompleted":{"balance":"2.00","version":2,"partition":0,"position":6}}"#;

fn debited() -> Book {
    Book::default()
        .opened("a")
        .opened("b")
        .moved("FundsDeposited", "a", 2, "5.00", "5.00")
        .transfer(1, INITIATED)
        .moved("FundsDebited", "a", 3, "2.00", "3.00")
        .transfer(2, DEBITED)
}

#[test]
fn a_ledger_in_order_is_summed_up() {
    let book = debited().moved("FundsCredited", "b", 2, "2.00", "2.00").transfer(3, COMPLETED);
    let summary = book.audit().unwrap();
    assert_eq!((summary.events, summary.wallets, summary.unfinished), (8, 2, 0));
    let totals = &summary.totals[&Currency::USD];
    assert_eq!((totals.in_wallets, totals.in_flight), (5.into(), 0.into()));
}

#[test]
fn money_in_flight_is_counted() {
    let summary = debited().audit().unwrap();
    assert_eq!((summary.unfinished, summary.totals[&Currency::USD].in_flight), (1, 2.into()));
}

#[test]
fn a_gap_and_a_changed_byte_are_found() {
    let mut gap = debited();
    gap.0.remove(2);
    assert_eq!(gap.problem(), "0-4: follows position 2");
    let mut changed = debited();
    changed.0[2].payload = changed.0[2].payload.replace("5.00", "9.00");
    assert!(changed.problem().starts_with("0-3: its hash does not match"));
}

#[test]
fn a_skipped_sequence_is_found() {
    let book = Book::default().opened("a").moved("FundsDeposited", "a", 3, "5.00", "5.00");
    assert_eq!(book.problem(), "0-2: sequence 3 follows 1");
}

#[test]
fn a_wrong_balance_is_found() {
    let book = Book::default().opened("a").moved("FundsDeposited", "a", 2, "5.00", "6.00");
    assert_eq!(book.problem(), "0-2: balance 6.00 follows 0.00 by 5.00");
}

#[test]
fn a_credit_without_a_debit_and_a_second_credit_are_found() {
    let book = Book::default().opened("b").moved("FundsCredited", "b", 2, "2.00", "2.00");
    assert!(book.problem().contains("has legs, but no stream"));
    let twice = debited()
        .moved("FundsCredited", "b", 2, "2.00", "2.00")
        .transfer(3, COMPLETED)
        .moved("FundsCredited", "b", 3, "2.00", "4.00");
    assert!(twice.problem().contains("has legs, but no stream"));
}

#[test]
fn a_completed_transfer_without_its_credit_is_found() {
    let book = debited().transfer(3, COMPLETED);
    assert!(book.problem().contains("is Completed over 2.00, but was debited 2.00, credited 0"));
}
