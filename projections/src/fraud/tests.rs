use chrono::{DateTime, TimeDelta};
use florin_domain::fraud::Rule;
use florin_domain::journal::GENESIS;

use super::*;

fn withdrawal(position: u64, second: i64) -> RecordedEvent {
    RecordedEvent {
        partition: 0,
        position,
        aggregate_type: "Wallet",
        aggregate_id: "alice".into(),
        sequence: position,
        event_type: "FundsWithdrawn".into(),
        event_version: "1.0".to_owned(),
        payload: r#"{"FundsWithdrawn":{"transactionId":"00000000-0000-0000-0000-000000000001","amount":"1.00","currency":"USD","balance":"9.00"}}"#.to_owned(),
        metadata: "{}".into(),
        balance: None,
        recorded_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
        hash: GENESIS,
    }
}

fn settings(count: u32) -> Settings {
    let text = format!(r#"{{"rules":{{"frequentWithdrawals":{{"count":{count}}}}}}}"#);
    serde_json::from_str(&text).unwrap()
}

/// The positions at which withdrawals a second apart alert.
fn alerting(settings: Vec<(u64, Settings)>) -> Vec<u64> {
    let mut rows = Rows { settings, ..Rows::default() };
    for position in 1..=4 {
        let event = withdrawal(position, i64::try_from(position).unwrap());
        Fraud.apply(&mut rows, &Fact::read(&event).unwrap()).unwrap();
    }
    assert!(rows.alerts.iter().all(|alert| alert.rule == Rule::FrequentWithdrawals));
    rows.alerts.iter().map(|alert| alert.event.position).collect()
}

#[test]
fn an_event_is_judged_by_the_settings_on_record_for_its_position() {
    assert_eq!(alerting(vec![]), [3], "the defaults");
    assert_eq!(alerting(vec![(0, settings(2))]), [2]);
    assert_eq!(alerting(vec![(0, settings(9)), (3, settings(2))]), [4]);
    assert_eq!(alerting(vec![(0, settings(9)), (4, settings(2))]), [0; 0]);
}

#[test]
fn a_movement_is_not_seen_twice() {
    let mut rows = Rows::default();
    let event = withdrawal(1, 1);
    let fact = Fact::read(&event).unwrap();
    Fraud.apply(&mut rows, &fact).unwrap();
    let history = format!("{:?}", rows.wallets);
    assert!(Fraud.apply(&mut rows, &fact).is_err());
    assert_eq!(format!("{:?}", rows.wallets), history, "and nothing has changed");
}

#[test]
fn what_moves_no_money_is_not_even_read() {
    let event = withdrawal(1, 1);
    assert!(Fraud.reads(&event));
    assert!(Fraud.reads(&RecordedEvent { event_type: "FundsBlessed".into(), ..event.clone() }));
    assert!(!Fraud.reads(&RecordedEvent { event_type: "WalletFrozen".into(), ..event.clone() }));
    assert!(!Fraud.reads(&RecordedEvent { aggregate_type: "Transfer", ..event }));
}
